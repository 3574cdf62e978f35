-- What every script begins with: the names of keys, Redis's own clock, and who may go on.
-- ARGV[1] is the workspace's prefix, ARGV[2] the account's; a script's own arguments follow.
-- One Redis holds everything (no cluster), so keys are made here rather than passed.
local workspace, account = ARGV[1], ARGV[2]
local function arg(n) return ARGV[n + 2] end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function run_key(run) return workspace .. 'run:' .. run end
local function open_key(run) return run_key(run) .. ':open' end
local function closed_key(run) return run_key(run) .. ':closed' end
local function shard_key(run, shard) return run_key(run) .. ':shard:' .. shard end
local function run_suspension_key(run) return run_key(run) .. ':suspension' end
local function doubts_key(run) return run_key(run) .. ':doubts' end
local function lease_key(job) return workspace .. 'lease:' .. job end
local function done_key(job) return workspace .. 'done:' .. job end
local function kept_key(job) return workspace .. 'kept:' .. job end
local function worker_key(worker) return workspace .. 'worker:' .. worker end
local function jobs_key(worker) return workspace .. 'worker:' .. worker .. ':jobs' end
local workers_key = workspace .. 'workers'
local runs_key = workspace .. 'runs'
local suspension_key = account .. 'suspension'
local epoch_key = account .. 'epoch'
local rate_key = account .. 'rate'
local streak_key = account .. 'streak'
local probe_key = account .. 'probe'

-- The fleet runs only when no reason stands; the probe of an outage alone may pass.
local function fleet_suspended(job)
  local reasons = redis.call('HKEYS', suspension_key)
  if #reasons == 0 then return false end
  return not (#reasons == 1 and reasons[1] == 'outage' and redis.call('GET', probe_key) == job)
end

-- Why this worker may not work on this job now; nil when it may.
local function barred(worker, run, shard, index, job, token)
  if redis.call('EXISTS', worker_key(worker)) == 0 then return 'heartbeat' end
  if redis.call('HGET', run_key(run), 'status') ~= 'running' then return 'run' end
  if not redis.call('ZSCORE', open_key(run), shard) then return 'closed' end
  if redis.call('HEXISTS', shard_key(run, shard), 'o:' .. index) == 1 then return 'done' end
  if fleet_suspended(job) or redis.call('EXISTS', run_suspension_key(run)) == 1 then return 'suspended' end
  local holder = redis.call('HGET', lease_key(job), 'token')
  if holder and holder ~= token then return 'held' end
  return nil
end

-- A shard fed at 0 is hungry: what is pending in it is fed again at the next tick.
local function hunger(run, shard) redis.call('ZADD', open_key(run), 'XX', 0, shard) end

-- Gives a lease back; true where it was this token's. A replay, or a worker taken for dead, holds none.
local function release(job, token)
  if redis.call('HGET', lease_key(job), 'token') ~= token then return false end
  redis.call('DEL', lease_key(job))
  return true
end

local function drop(worker, run, shard, job, token, why)
  release(job, token)
  redis.call('HDEL', jobs_key(worker), job)
  if why == 'suspended' or why == 'heartbeat' then hunger(run, shard) end
  return { 'drop', why }
end

local function suspend(reason, detail, by, until_ms)
  if redis.call('HEXISTS', suspension_key, reason) == 1 then return 0 end
  redis.call('HSET', suspension_key, reason,
    cjson.encode({ reason = reason, detail = detail, by = by, since = now_ms(), until_ms = until_ms or 0 }))
  return 1
end
