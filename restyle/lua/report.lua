-- A job's outcome. The first one counts; later ones add only calls, credits and doubts.
-- worker, run, shard, index, job, token, outcome, JSON, calls, credits, record written (0/1), call succeeded (0/1), credits left, variant
-- -> 1 counted, 0 not the first, -1 the shard is not open
local worker, run, shard, index, job, token = arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)
local outcome, json, calls, credits = arg(7), arg(8), tonumber(arg(9)), arg(10)
local wrote, succeeded, left = arg(11) == '1', arg(12) == '1', arg(13)
release(job, token)
redis.call('HDEL', jobs_key(worker), job)
if wrote then redis.call('SET', done_key(job), run, 'EX', 3600) end
if succeeded then
  redis.call('HDEL', rate_key, 'streak', 'limited_since')
  redis.call('DEL', streak_key)
  redis.call('HDEL', suspension_key, 'outage')
  redis.call('DEL', probe_key)
  redis.call('HINCRBY', run_key(run), 'ok', 1)
  redis.call('HINCRBY', run_key(run), 'ok:' .. arg(14), 1)
end
if left ~= '' then
  redis.call('HSET', rate_key, 'credits', left)
  redis.call('HSETNX', run_key(run), 'credits_before', string.format('%.6f', left + credits))
  redis.call('HSET', run_key(run), 'credits_after', left)
end
if not redis.call('ZSCORE', open_key(run), shard) then return -1 end

local key = shard_key(run, shard)
-- Said before, by this very worker whose answer from Redis was lost.
if redis.call('HGET', key, 'r:' .. index) == token and token ~= '' then return 1 end
redis.call('HSET', key, 'r:' .. index, token)
if calls > 0 then redis.call('HINCRBY', key, 'c:' .. index, calls) end
local first = redis.call('HSETNX', key, 'o:' .. index, json)
if first == 1 then
  redis.call('HINCRBY', key, 'n', 1)
  redis.call('HINCRBY', run_key(run), outcome, 1)
  local counts = redis.call('HMGET', key, 'c:' .. index, 'd:' .. index)
  redis.call('HINCRBY', run_key(run), 'attempts', counts[1] or 0)
  redis.call('HINCRBY', run_key(run), 'in_doubt', counts[2] or 0)
else
  redis.call('HINCRBY', run_key(run), 'attempts', calls)
end
if first == 1 or calls > 0 then redis.call('HINCRBYFLOAT', run_key(run), 'credits', credits) end
return first
