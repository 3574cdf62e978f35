-- Suspends the fleet for one reason; the first word on a reason stands.
-- reason, detail, by, '' or the workspace in whose S3 a person's word stands -> 1 newly suspended
local stored_in = arg(4) ~= '' and arg(4) or nil
local standing = redis.call('HEXISTS', suspension_key, arg(1))
if stored_in then redis.call('HDEL', suspension_key, arg(1)) end
local suspended = suspend(arg(1), arg(2), arg(3), nil, { stored_in = stored_in })
return standing == 1 and 0 or suspended
