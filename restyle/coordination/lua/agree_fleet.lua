-- Brings the fleet in line with a person's suspension of it, which stands in S3: suspended.json of the workspace.
-- args: epoch, entry ('': none; both as they stood before S3 was read), detail, by ('': S3 has no suspension)
-- returns: 1 changed
local standing = redis.call('HGET', suspension_key, 'operator')
if (standing or '') ~= entry then return 0 end
if by ~= '' then
  -- A resume since then has the last word.
  if standing or (redis.call('GET', epoch_key) or '0') ~= epoch then return 0 end
  return suspend('operator', detail, by, nil, { stored_in = workspace })
end
-- One that was in this workspace's S3 and is there no more was lifted by a person.
if not standing or cjson.decode(standing).stored_in ~= workspace then return 0 end
return redis.call('HDEL', suspension_key, 'operator')
