-- Puts an event's notices on the list, once per run and event.
-- run, event, seconds to remember it, then for each channel: key, notice JSON -> 1 put, 0 it was told before
local mark = workspace .. 'noticed:' .. arg(1) .. ':' .. arg(2)
if not redis.call('SET', mark, '1', 'NX', 'EX', arg(3)) then return 0 end
for n = 4, #ARGV - 2, 2 do redis.call('HSET', workspace .. 'notices', arg(n), arg(n + 1)) end
return 1
