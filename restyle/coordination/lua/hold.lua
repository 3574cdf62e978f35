-- Notes that S3 has this Redis's record as the holder's: calls may begin, for so long from the begin of that request.
-- args: turn, begun (ms), lease (ms), name, etag, who, since, anew flag (another Redis may have held it before),
--   runs (unfinished, by the record), number (the tenure's), is_renewal flag
-- returns: 1, 0 it took too long
if redis.call('GET', turn_key) ~= turn then return 0 end
local now, tenure = now_ms(), redis.call('HGET', fleet_key, 'tenure')
local left = begun + lease - now
if left <= 0 then return 0 end
-- Where the lease has run out meanwhile, another one may have followed before this was written.
if is_renewal and (redis.call('EXISTS', holder_key) == 0 or redis.call('HGET', fleet_key, 'name') ~= name) then
  return 0
end
if anew or not tenure then tenure = now end
redis.call('SET', format_key, format)
redis.call('SET', holder_key, tenure, 'PX', math.ceil(left))
redis.call('HSET', fleet_key, 'name', name, 'etag', etag, 'who', who, 'since', since, 'tenure', tenure,
  'renewed', begun, 'here', 1, 'runs', runs, 'number', number)
redis.call('HDEL', fleet_key, 'lost')
return 1
