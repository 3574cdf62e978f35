-- Lifts the fleet's suspension. Answers to calls begun before this suspend nothing any more.
-- A person who goes on after refusals that were alike has seen them: twice as many may follow, for a day.
local entries = redis.call('HVALS', suspension_key)
for _, text in ipairs(entries) do
  local entry = cjson.decode(text)
  if entry.alike and entry.status then
    local key = allowed_key(entry.status)
    redis.call('SET', key, math.min(2 * tonumber(redis.call('GET', key) or 3), 1000000), 'EX', 86400)
  end
end
redis.call('DEL', suspension_key, streak_key, probe_key, alike_key)
redis.call('DEL', rate_key .. ':asks')
redis.call('HDEL', rate_key, 'streak', 'lost', 'unreachable', 'hold', 'hold_ms', 'limited_since', 'rounds', 'gap',
  'asker', 'asked_at', 'credits', 'waits:0', 'waits:1', 'waits:2')
-- A slot that is minutes ahead is one of a clock that was set back.
local slot = tonumber(redis.call('HGET', rate_key, 'next') or 0)
if slot > (now_ms() + 120000) * 1000 then redis.call('HDEL', rate_key, 'next') end
return redis.call('INCR', epoch_key)
