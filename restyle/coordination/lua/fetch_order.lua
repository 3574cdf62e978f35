-- Asks for inputs on the web to be fetched: each of them once, however often it is asked for.
-- run, shard, then the place of a job and the host of its address, in turn -> how many were not asked for before
local run, shard = arg(1), arg(2)
local ordered = 0
for n = 3, #ARGV - 2, 2 do
  local id, host = run .. '.' .. shard .. '.' .. arg(n), arg(n + 1)
  if redis.call('SET', workspace .. 'web:ticket:' .. id, 0, 'NX', 'EX', 86400) then
    redis.call('LPUSH', hint_key(workspace .. 'web:queue:' .. host, 'list'), id)
    redis.call('ZADD', hint_key(workspace .. 'web:hosts', 'zset'), 'NX', now_ms(), host)
    ordered = ordered + 1
  end
end
return ordered
