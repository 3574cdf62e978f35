-- Takes the turn at writing this Redis's record in S3, with a beat that it will bear, and a name where it gets a new one.
-- args: turn, ttl (ms), beat, name ('': the one it has)
-- returns: {} another process has it | {now, unfinished runs, jobs without an outcome in them}
if holder_of(turn_key) then return {} end
redis.call('SET', turn_key, turn, 'PX', ttl)
redis.call('LPUSH', beats_key, beat)
redis.call('LTRIM', beats_key, 0, 19)
if name ~= '' then
  redis.call('LPUSH', names_key, name)
  redis.call('LTRIM', names_key, 0, 7)
end
local runs, pending = redis.call('SMEMBERS', runs_key), 0
for _, run in ipairs(runs) do
  local counts = redis.call('HMGET', run_key(run), 'planned', 'succeeded', 'skipped', 'failed')
  pending = pending + (counts[1] or 0) - (counts[2] or 0) - (counts[3] or 0) - (counts[4] or 0)
end
return { now_ms(), #runs, pending }
