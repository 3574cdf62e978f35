-- The one gate before a paid call. Checks all that could forbid it, then takes rate slot and lease together.
-- worker, run, shard, index, job, token, looked (0/1), age of the look-up (ms), max age (ms), interval (us; 0: no limit)
-- -> {drop, why} | {wait, ms} | {kept} | {look} | {go, epoch, calls so far, doubts so far}
local worker, run, shard, index, job, token = arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)
local looked, age, max_age, interval = arg(7) == '1', tonumber(arg(8)), tonumber(arg(9)), tonumber(arg(10))

local why = barred(worker, run, shard, index, job, token)
if not why and redis.call('HEXISTS', jobs_key(worker), job) == 0 then why = 'heartbeat' end
if why then return drop(worker, run, shard, job, token, why) end

local now = now_ms()
local epoch = redis.call('GET', epoch_key) or '0'
local function grant(...)
  redis.call('DEL', lease_key(job))
  redis.call('HSET', lease_key(job), 'run', run, 'shard', shard, 'index', index,
    'worker', worker, 'token', token, 'epoch', epoch, ...)
end

if redis.call('EXISTS', kept_key(job)) == 1 then
  grant()
  return { 'kept' }
end
local counts = redis.call('HMGET', shard_key(run, shard), 'c:' .. index, 'd:' .. index)
local calls = tonumber(counts[1] or 0)
-- Doubts written to S3 before Redis lost the run count on.
local doubts = tonumber(counts[2] or 0) + redis.call('SISMEMBER', doubts_key(run), job)
if not looked and (age > max_age or calls + doubts > 0 or redis.call('EXISTS', done_key(job)) == 1) then
  grant()
  return { 'look' }
end

local rate = redis.call('HMGET', rate_key, 'hold', 'next')
local hold, slot = tonumber(rate[1] or 0), tonumber(rate[2] or 0)
if hold > now then
  release(job, token)
  return { 'wait', hold - now }
end
if interval > 0 then
  local now_us = now * 1000
  if slot > now_us then
    release(job, token)
    return { 'wait', math.ceil((slot - now_us) / 1000) }
  end
  -- Half a second of lateness may be caught up, so that polling for slots does not cost any.
  redis.call('HSET', rate_key, 'next', string.format('%.0f', math.max(slot, now_us - 500000) + interval))
end
grant('calling', now)
return { 'go', epoch, calls, doubts }
