-- The next input to fetch, of a host that may be called now: so many at a time, and no sooner than its pace allows.
-- args: most number (in flight), pace number (between two; ms), lease number (ms),
--   busy_hosts list (of which this worker fetches as much as it may)
-- returns: {host, id, tries, failures in a row, since (ms), addresses among them} or {wait (ms)}
local hosts_key, now = hint_key(workspace .. 'web:hosts', 'zset'), now_ms()
-- Under an outage fetching goes on, so that there is something to probe with.
for _, reason in ipairs(redis.call('HKEYS', suspension_key)) do
  if reason ~= 'outage' then return { 1000 } end
end
local busy = {}
for _, host in ipairs(busy_hosts) do busy[host] = true end

-- The run and the shard of a ticket's job.
local function place_of(id) return string.match(id, '^(.+)%.(%d+)%.%d+$') end

-- Whether somebody still waits for it: its run moves, and its shard is open.
local function is_needed(id)
  local run, shard = place_of(id)
  return run and redis.call('HGET', run_key(run), 'status') == 'running'
    and redis.call('EXISTS', run_suspension_key(run)) == 0 and redis.call('ZSCORE', open_key(run), shard)
end

for _, host in ipairs(redis.call('ZRANGEBYSCORE', hosts_key, '-inf', now, 'LIMIT', 0, 100)) do
  local queue = hint_key(workspace .. 'web:queue:' .. host, 'list')
  local flight = hint_key(workspace .. 'web:flight:' .. host, 'zset')
  -- What a worker took and says nothing of any more is anybody's again.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', flight, '-inf', now)) do
    redis.call('ZREM', flight, id)
    redis.call('RPUSH', queue, id)
  end
  if busy[host] or redis.call('ZCARD', flight) >= most then
    redis.call('ZADD', hosts_key, now + 100, host)
  else
    for _ = 1, 200 do
      local id = redis.call('RPOP', queue)
      if not id then
        if redis.call('ZCARD', flight) == 0 then redis.call('ZREM', hosts_key, host)
        else redis.call('ZADD', hosts_key, now + 500, host) end
        break
      end
      local ticket = hint_key(workspace .. 'web:ticket:' .. id, 'string')
      local tries = to_number(redis.call('GET', ticket) or '')
      if tries and is_needed(id) then
        redis.call('ZADD', flight, now + lease, id)
        redis.call('ZADD', hosts_key, now + pace, host)
        local known = redis.call('HMGET', hint_key(workspace .. 'web:host:' .. host, 'hash'), 'failures', 'since')
        return { host, id, tries, to_number(known[1] or 0) or 0, to_number(known[2] or now) or now,
          redis.call('SCARD', hint_key(workspace .. 'web:failing:' .. host, 'set')) }
      end
      -- Its job is fed again once its run moves on.
      local run, shard = place_of(id)
      if run then mark_for_enqueue(run, shard) end
      redis.call('DEL', ticket)
    end
  end
end
local nearest = redis.call('ZRANGE', hosts_key, 0, 0, 'WITHSCORES')
return { nearest[2] and math.max(1, math.min(1000, tonumber(nearest[2]) - now)) or 1000 }
