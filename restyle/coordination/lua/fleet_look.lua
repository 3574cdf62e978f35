-- What this Redis knows of its hold on the workspace; where it has lost that, what the asking process remembers.
-- how long the asking process has an interest of its own (ms; 0: none), name, here (0/1), the tenure's number,
-- then each beat remembered
-- -> {now, what is left of the hold (ms), has work (0/1), unfinished runs, fields and values, names, beats}
local interest, name, here = tonumber(arg(1)), arg(2), arg(3)
if interest > 0 then redis.call('SET', fleet_key .. ':interest', '1', 'PX', interest) end
if name ~= '' and redis.call('HEXISTS', fleet_key, 'name') == 0 then
  redis.call('HSET', fleet_key, 'name', name, 'here', here, 'number', arg(4))
  redis.call('LPUSH', names_key, name)
  for n = 5, #ARGV - 2 do redis.call('RPUSH', beats_key, arg(n)) end
end
return { now_ms(), math.max(redis.call('PTTL', holder_key), 0), has_work() and 1 or 0,
  redis.call('SCARD', runs_key), redis.call('HGETALL', fleet_key), redis.call('LRANGE', names_key, 0, -1), redis.call('LRANGE', beats_key, 0, -1) }
