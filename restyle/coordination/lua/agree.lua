-- Brings a run in line with what people have decided about it, which stands in S3: run.json and suspended.json.
-- args: run, revision ('': this is a person's own command, which has the last word), lift flag (every suspension),
--   decided json (status, priority, approved, budget, finish_by; '' none; max_failures, max_suspects, variants, reason and
--   entry of the suspension in S3; '' none; each as text)
-- returns: 1 in line, 0 Redis does not know the run, or it is over, -1 a person has decided anew since S3 was read
local key, standing = run_key(run), run_suspension_key(run)
local known = redis.call('HEXISTS', key, 'planned') == 1
if revision == '' then
  -- Whoever read S3 before this, and would rebuild or change the run by it, has to read it again.
  redis.call('HINCRBY', key, 'revision', 1)
  if not known then redis.call('EXPIRE', key, 86400) end
elseif revision_of(run) ~= revision then
  return -1
end
if not known or redis.call('HEXISTS', key, 'ended') == 1 then return 0 end
local entries = redis.call('HGETALL', standing)
for n = 1, #entries, 2 do
  local reason, entry = entries[n], entries[n + 1]
  -- One that was in S3 as well and is there no more was lifted by a person.
  local gone = reason ~= decided.reason and string.find(entry, '"stored": ?true')
  if gone or (lift and reason ~= 'awaiting_approval') then redis.call('HDEL', standing, reason) end
end
if lift then
  -- From here on brakes count anew, and what was braked is fed.
  redis.call('HDEL', key, 'failing_lately', 'suspect_lately')
  redis.call('DEL', endings_key(run))
  if redis.call('DEL', braked_key(run)) == 1 then
    for _, shard in ipairs(redis.call('ZRANGE', open_key(run), 0, -1)) do mark_for_enqueue(run, shard) end
  end
end
if decided.reason ~= '' then
  -- One that a brake has put here was not in S3 before.
  local entry = redis.call('HGET', standing, decided.reason)
  if not (entry and string.find(entry, '"stored": ?true')) then redis.call('HSET', standing, decided.reason, decided.entry) end
end
if decided.approved == '1' then redis.call('HDEL', standing, 'awaiting_approval') end
local before = tonumber(redis.call('HGET', key, 'budget') or 0)
local budget = tonumber(decided.budget)
if before > 0 and (budget == 0 or budget > before) then redis.call('HDEL', standing, 'budget') end
if decided.finish_by == '' then
  if redis.call('HDEL', key, 'finish_by') == 1 then redis.call('HDEL', standing, 'deadline') end
else
  redis.call('HSET', key, 'finish_by', decided.finish_by)
end
if decided.status == 'cancelled' and redis.call('HGET', key, 'status') == 'running' then
  redis.call('HSET', key, 'status', 'cancelled')
end
redis.call('HSET', key, 'priority', decided.priority, 'approved', decided.approved, 'budget', decided.budget,
  'max_failures', decided.max_failures, 'max_suspects', decided.max_suspects, 'variants', decided.variants)
return 1
