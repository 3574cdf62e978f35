-- A job's outcome. The first one counts; later ones add only calls, credits and doubts.
-- worker, run, shard, index, job, token, outcome, JSON, calls, credits, record written (0/1), call succeeded (0/1), credits left, variant,
-- seconds of the call, weight (samples of 30 steps), day, month, suspect (0/1)
-- -> 1 counted, 0 not the first, -1 the shard is not open
local worker, run, shard, index, job, token = arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)
local outcome, json, calls, credits = arg(7), arg(8), tonumber(arg(9)), arg(10)
local wrote, succeeded, left = arg(11) == '1', arg(12) == '1', arg(13)
-- A job that is done asks for no request any more.
if wrote or outcome == 'skipped' then
  give_back(request_key(job))
  redis.call('DEL', request_key(job))
end
release(job, token)
unlist(worker, job, token)
local seconds, weight = tonumber(arg(15)), tonumber(arg(16))
if wrote then redis.call('SET', done_key(job), run, 'EX', done_seconds) end
if succeeded then
  redis.call('HDEL', rate_key, 'streak', 'limited_since')
  redis.call('DEL', streak_key)
  if redis.call('HDEL', suspension_key, 'outage') == 1 then note(nil, 'resumed', worker, 'the API answers again') end
  redis.call('DEL', probe_key)
  redis.call('HINCRBY', run_key(run), 'ok', 1)
  local known = redis.call('HMGET', rate_key, 'call_ms', 'unit')
  if seconds > 0 then
    redis.call('HSET', rate_key, 'call_ms', string.format('%.0f', (known[1] or seconds * 1000) * 0.8 + seconds * 200))
  end
  if weight > 0 then
    redis.call('HSET', rate_key, 'unit', string.format('%.6f', math.max(known[2] or 0, credits / weight)))
  end
  redis.call('DEL', rate_key .. ':asks')
  redis.call('HINCRBY', run_key(run), 'ok:' .. arg(14), 1)
end
-- A probe that ended without a call told nothing of the API: the next one need not wait for it.
if redis.call('GET', probe_key) == job then redis.call('DEL', probe_key) end
if left ~= '' then
  -- Answers of calls in flight together are told in any order: the first of them knew the most, the last the least.
  -- A balance that rises by more than they can explain was topped up.
  local key, together = run_key(run), 64
  local before, after = redis.call('HGET', key, 'credits_before'), redis.call('HGET', rate_key, 'credits')
  local early = tonumber(redis.call('HGET', key, 'ok') or 0) <= together
  if not before or (early and left + credits > tonumber(before)) then
    redis.call('HSET', key, 'credits_before', string.format('%.6f', left + credits))
  end
  local rise = left - (after or left)
  if rise <= 0 or rise > together * credits then redis.call('HSET', rate_key, 'credits', left) end
  redis.call('HSET', key, 'credits_after', redis.call('HGET', rate_key, 'credits'))
end
if not redis.call('ZSCORE', open_key(run), shard) then
  -- The call was paid for all the same, which is counted once however often it is said.
  if calls > 0 and redis.call('SET', workspace .. 'paid:' .. token, 1, 'NX', 'EX', 3600) then
    local closed = redis.call('GETBIT', closed_key(run), shard) == 1
    -- In a shard that Redis has lost, the job is found by its record, and its credits count in the run then.
    if closed then pay(run, credits, arg(17), arg(18)) else spend(credits, arg(17), arg(18)) end
    if redis.call('EXISTS', run_key(run)) == 1 then redis.call('HINCRBY', run_key(run), 'attempts', calls) end
  end
  return -1
end

local key = shard_key(run, shard)
-- Said before, by this very worker whose answer from Redis was lost; others may have reported in between.
local said_key = 'r:' .. index .. ':' .. token
local said = token ~= '' and redis.call('HGET', key, said_key)
if said then return tonumber(said) end
count(run, shard, index, calls, 0)
local first = redis.call('HSETNX', key, 'o:' .. index, json)
if token ~= '' then redis.call('HSET', key, said_key, first) end
if first == 1 then
  redis.call('HINCRBY', key, 'n', 1)
  redis.call('HINCRBY', run_key(run), outcome, 1)
  if arg(19) == '1' then redis.call('HINCRBY', run_key(run), 'suspect', 1) end
  local counts = redis.call('HMGET', key, 'c:' .. index, 'd:' .. index)
  redis.call('HINCRBY', run_key(run), 'attempts', counts[1] or 0)
  redis.call('HINCRBY', run_key(run), 'in_doubt', counts[2] or 0)
end
if first == 1 or calls > 0 then redis.call('HINCRBYFLOAT', run_key(run), 'credits', credits) end
if calls > 0 then
  spend(credits, arg(17), arg(18))
end
return first
