-- Notes that S3 has this Redis's record as the holder's: calls may begin, for so long from the begin of that request.
-- turn, begun (ms), for how long (ms), name, its ETag, who, since, another one may have held it before (0/1),
-- unfinished runs by the record, the tenure's number, it is a renewal (0/1)
-- -> 1, 0 it took too long
if redis.call('GET', turn_key) ~= arg(1) then return 0 end
local now, tenure = now_ms(), redis.call('HGET', fleet_key, 'tenure')
local left = arg(2) + arg(3) - now
if left <= 0 then return 0 end
-- Where the lease has run out meanwhile, another one may have followed before this was written.
if arg(11) == '1' and (redis.call('EXISTS', holder_key) == 0 or redis.call('HGET', fleet_key, 'name') ~= arg(4)) then
  return 0
end
if arg(8) == '1' or not tenure then tenure = now end
redis.call('SET', holder_key, tenure, 'PX', math.ceil(left))
redis.call('HSET', fleet_key, 'name', arg(4), 'etag', arg(5), 'who', arg(6), 'since', arg(7), 'tenure', tenure,
  'renewed', arg(2), 'here', 1, 'runs', arg(9), 'number', arg(10))
redis.call('HDEL', fleet_key, 'lost')
return 1
