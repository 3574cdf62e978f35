-- Ends the hold: no call is begun from here on.
-- args: why (JSON; '': left, since there was nothing to do), if_idle flag (only where there is nothing to do)
-- returns: 1 ended, 0 there is something to do by now
if if_idle and has_work() then return 0 end
redis.call('DEL', holder_key)
redis.call('HSET', fleet_key, 'here', 0)
if why == '' then
  redis.call('HDEL', fleet_key, 'lost')
else
  if redis.call('HEXISTS', fleet_key, 'lost') == 0 then
    local lost = cjson.decode(why)
    note(nil, 'suspended', lost.by, 'held: ' .. lost.detail)
  end
  redis.call('HSET', fleet_key, 'lost', why)
end
return 1
