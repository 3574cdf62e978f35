-- Brings the fleet in line with a person's suspension of it, which stands in S3: suspended.json of the workspace.
-- epoch and entry ('' none) as they stood before S3 was read, detail and by of the suspension in S3 ('' by: none)
-- -> 1 changed
local standing = redis.call('HGET', suspension_key, 'operator')
if (standing or '') ~= arg(2) then return 0 end
if arg(4) ~= '' then
  -- A resume since then has the last word.
  if standing or (redis.call('GET', epoch_key) or '0') ~= arg(1) then return 0 end
  return suspend('operator', arg(3), arg(4), nil, { stored_in = workspace })
end
-- One that was in this workspace's S3 and is there no more was lifted by a person.
if not standing or cjson.decode(standing).stored_in ~= workspace then return 0 end
return redis.call('HDEL', suspension_key, 'operator')
