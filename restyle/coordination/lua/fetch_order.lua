-- Orders inputs on the web to be fetched: each of them once, however often it is ordered.
-- args: run, shard, inputs list (for each: the job's position and the host of its address)
-- returns: how many were not ordered before
local ordered = 0
for n = 1, #inputs, 2 do
  local id, host = run .. '.' .. shard .. '.' .. inputs[n], inputs[n + 1]
  if redis.call('SET', workspace .. 'web:ticket:' .. id, 0, 'NX', 'EX', 86400) then
    redis.call('LPUSH', hint_key(workspace .. 'web:queue:' .. host, 'list'), id)
    redis.call('ZADD', hint_key(workspace .. 'web:hosts', 'zset'), 'NX', now_ms(), host)
    ordered = ordered + 1
  end
end
return ordered
