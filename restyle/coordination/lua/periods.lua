-- Writes down which day and month are in force, once what was spent in them before is summed. With the day's end it is
-- gone, and written anew.
-- JSON: day, day_began, day_ends, month, month_began, month_ends (ms), zone, each as text -> 1 written, 0 not summed yet
if redis.call('HEXISTS', stock_key, 'server') == 0 then return 0 end
local told = cjson.decode(arg(1))
for name, value in pairs(told) do redis.call('HSET', periods_key, name, value) end
redis.call('PEXPIREAT', periods_key, told.day_ends)
redis.call('HSET', stock_key, 'zone', told.zone)
return 1
