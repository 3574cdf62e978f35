-- How a fetch ended: decided, no longer needed, or to be tried again; and what it says of the host.
-- args: host, id, ending (decided | dropped | again), mark, counts flag (the try counts),
--   host_was (good | bad; '': nothing is known), wait number (to leave the host alone; ms)
local ticket = hint_key(workspace .. 'web:ticket:' .. id, 'string')
local known = hint_key(workspace .. 'web:host:' .. host, 'hash')
local failing = hint_key(workspace .. 'web:failing:' .. host, 'set')
local queue = hint_key(workspace .. 'web:queue:' .. host, 'list')
redis.call('ZREM', hint_key(workspace .. 'web:flight:' .. host, 'zset'), id)
local hosts_key, now = hint_key(workspace .. 'web:hosts', 'zset'), now_ms()
if host_was == 'good' then
  redis.call('DEL', known, failing)
elseif host_was == 'bad' then
  if not to_number(redis.call('HGET', known, 'failures') or 0) then redis.call('DEL', known) end
  redis.call('HINCRBY', known, 'failures', 1)
  redis.call('HSETNX', known, 'since', now)
  if redis.call('SCARD', failing) < 100 then redis.call('SADD', failing, id) end
  redis.call('EXPIRE', known, 86400)
  redis.call('EXPIRE', failing, 86400)
end
if wait > 0 then redis.call('ZADD', hosts_key, 'GT', now + wait, host) end
if ending == 'again' then
  if to_number(redis.call('GET', ticket) or '') then
    if counts then redis.call('INCR', ticket) end
    redis.call('LREM', queue, 0, id)
    redis.call('LPUSH', queue, id)
    redis.call('ZADD', hosts_key, 'NX', now + wait, host)
  end
  return 1
end
redis.call('DEL', ticket)
local run, shard = string.match(id, '^(.+)%.(%d+)%.%d+$')
if ending == 'decided' and run then
  local ready = hint_key(workspace .. 'web:ready:' .. run .. '.' .. shard, 'set')
  redis.call('SADD', ready, mark)
  redis.call('EXPIRE', ready, 86400)
  redis.call('LPUSH', hint_key(workspace .. 'web:fetched', 'list'), id)
end
return 1
