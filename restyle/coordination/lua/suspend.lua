-- Suspends the fleet for one reason; the first word on a reason stands.
-- args: reason, detail, by, workspace_in_s3 ('', or the workspace in whose S3 a person's suspension stands), cause ('')
-- returns: 1 newly suspended
local stored_in = workspace_in_s3 ~= '' and workspace_in_s3 or nil
local standing = redis.call('HEXISTS', suspension_key, reason)
if stored_in then redis.call('HDEL', suspension_key, reason) end
local suspended = suspend(reason, detail, by, nil, { stored_in = stored_in, cause = cause ~= '' and cause or nil })
return standing == 1 and 0 or suspended
