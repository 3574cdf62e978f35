-- What this Redis knows of its hold on the workspace; where it has lost that, what the calling process remembers.
-- args: interest number (how long the calling process has work of its own; ms; 0: none), name, here (0/1),
--   number (the tenure's), beats list (remembered)
-- returns: {now, what is left of the hold (ms), has work (0/1), unfinished runs, fields and values, names, beats}
if interest > 0 then
  redis.call('SET', fleet_key .. ':interest', '1', 'PX', interest)
  -- While a holder's silence is waited out, workers that know of claims have time to reach this server and say so: what
  -- is waited for here need not be waited for again before the first call. Who may not write that leaves it to others.
  pcall(recognise, 0)
end
if name ~= '' and redis.call('HEXISTS', fleet_key, 'name') == 0 then
  redis.call('HSET', fleet_key, 'name', name, 'here', here, 'number', number)
  redis.call('LPUSH', names_key, name)
  for _, beat in ipairs(beats) do redis.call('RPUSH', beats_key, beat) end
end
return { now_ms(), math.max(redis.call('PTTL', holder_key), 0), has_work() and 1 or 0,
  redis.call('SCARD', runs_key), redis.call('HGETALL', fleet_key), redis.call('LRANGE', names_key, 0, -1), redis.call('LRANGE', beats_key, 0, -1) }
