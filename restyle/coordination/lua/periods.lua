-- Writes down which day and month are in force, once what was spent in them before is summed. With the day's end it is
-- gone, and written anew.
-- args: in_force json (day, day_began, day_ends, month, month_began, month_ends; ms; zone; each as text)
-- returns: 1 written, 0 not summed yet
if redis.call('HEXISTS', stock_key, 'server') == 0 then return 0 end
for name, value in pairs(in_force) do redis.call('HSET', periods_key, name, value) end
redis.call('PEXPIREAT', periods_key, in_force.day_ends)
redis.call('HSET', stock_key, 'zone', in_force.zone)
return 1
