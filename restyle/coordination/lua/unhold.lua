-- Ends the hold: no call is begun from here on.
-- why, as JSON ('': left, since there was nothing to do), only where there is nothing to do (0/1)
-- -> 1 ended, 0 there is something to do by now
if arg(2) == '1' and has_work() then return 0 end
redis.call('DEL', holder_key)
redis.call('HSET', fleet_key, 'here', 0)
if arg(1) == '' then
  redis.call('HDEL', fleet_key, 'lost')
else
  if redis.call('HEXISTS', fleet_key, 'lost') == 0 then
    local lost = cjson.decode(arg(1))
    note(nil, 'suspended', lost.by, 'held: ' .. lost.detail)
  end
  redis.call('HSET', fleet_key, 'lost', arg(1))
end
return 1
