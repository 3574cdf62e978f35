-- What every script begins with: the names of keys, Redis's own clock, and who may go on.
-- ARGV[1] is the workspace's prefix, ARGV[2] the account's. A script's own arguments follow: each is a local variable, by the
-- name that the script's line `-- args:` gives it (restyle/coordination/redis/scripts.py).
-- One Redis holds everything (no cluster), so keys are made here rather than passed.
local workspace, account = ARGV[1], ARGV[2]

-- What a later version has written may mean something else: nothing is read or changed, and no call granted
-- (restyle/formats.py). Whoever holds the workspace writes it (hold.lua).
local format_key = workspace .. 'format'
local written = tonumber(redis.pcall('GET', format_key)) or 0
if written > format then return redis.error_reply('NEWERFORMAT ' .. format_key .. ' in Redis: it has format ' .. written) end

-- A number that Redis holds as text. Words in its place are somebody else's: the script ends there, and what it tripped
-- over is looked for (restyle/coordination/redis/repair.py).
local to_number = tonumber
local function tonumber(text)
  local number = to_number(text)
  if type(text) == 'string' and text ~= '' and (not number or number ~= number or math.abs(number) == math.huge) then
    error('no number')
  end
  return number
end

-- A key that is no more than a hint: what somebody has put there of another kind is removed.
local function hint_key(key, kind)
  local there = redis.call('TYPE', key).ok
  if there ~= kind and there ~= 'none' then redis.call('DEL', key) end
  return key
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether a lock or a heartbeat stands; one that does not end within ten minutes is none of ours.
local function stands(key)
  local left = redis.call('PTTL', key)
  return left >= 0 and left <= 600000
end
local function holder_of(lock) return stands(lock) and redis.call('GET', lock) end

local function run_key(run) return workspace .. 'run:' .. run end
local function open_key(run) return run_key(run) .. ':open' end
local function closed_key(run) return run_key(run) .. ':closed' end
local function shard_key(run, shard) return run_key(run) .. ':shard:' .. shard end
local function run_suspension_key(run) return run_key(run) .. ':suspension' end
local function doubts_key(run) return run_key(run) .. ':doubts' end
-- The variants of a run that are braked, and how the last jobs of each variant ended (report.lua).
local function braked_key(run) return run_key(run) .. ':braked' end
local function endings_key(run) return run_key(run) .. ':endings' end
local function lease_key(job) return workspace .. 'lease:' .. job end
-- How long a written record is remembered here: ten times as long as a look-up counts as fresh, and three times as
-- long as a call may take. Longer, and fast runs of a million jobs would fill Redis with it.
local done_seconds = 600
local function done_key(job) return workspace .. 'done:' .. job end
-- Named as in earlier versions: what those parked was paid for.
local function parked_key(job) return workspace .. 'kept:' .. job end
local function request_key(job) return workspace .. 'request:' .. job end
-- A paid answer lies on the disk of a worker alone: the job is not called meanwhile (restyle/job/parked/safekeeping.py).
local spooled_jobs_key = workspace .. 'spooled'
local function spooled_key(job) return spooled_jobs_key .. ':' .. job end
local function lost_key(job) return workspace .. 'lost:' .. job end
local function worker_key(worker) return workspace .. 'worker:' .. worker end
local function lives(worker) return stands(worker_key(worker)) end
local function jobs_key(worker) return workspace .. 'worker:' .. worker .. ':jobs' end
local workers_key = workspace .. 'workers'
local runs_key = workspace .. 'runs'
-- Stands while S3 has said lately that this Redis holds the workspace; since when (ms). See restyle/coordination/workspace/holding.py.
local holder_key = workspace .. 'holder'
local fleet_key = workspace .. 'fleet'
local names_key, beats_key, turn_key = fleet_key .. ':names', fleet_key .. ':beats', fleet_key .. ':turn'
local suspension_key = account .. 'suspension'
local epoch_key = account .. 'epoch'
local rate_key = account .. 'rate'
-- What the account had left when its balance was last asked for under no_credits.
local balance_key = account .. 'balance'
local streak_key = account .. 'streak'
local probe_key = account .. 'probe'
-- What is known of refusals and failures (docs/decisions/0024): jobs that were refused with a word against all, jobs
-- refused alike since the last good answer, and when jobs and recipes failed while others did well.
local refused_key = account .. 'refused'
local alike_key = account .. 'alike'
local failing_key = account .. 'failing'
-- Workers whose calls were refused with a word against all, and that had no good answer since.
local refusers_key = account .. 'refusers'
-- Recipes of a run that are known to have gone well; beyond so many, none can be distinguished by that.
local most_recipes = 500
-- Milliseconds by which slots of the rate limit are held back at most, where calls arrived late together.
local most_held_back = 10000
local function allowed_key(status) return account .. 'allowed:' .. status end

-- Whether somebody had a good answer to a call begun after then; one from before the clock was set back tells nothing.
local function well_since(at)
  local began = tonumber(redis.call('HGET', rate_key, 'good_began') or 0)
  return began > at and began <= now_ms()
end

-- Whether a run has jobs pending that were not refused: others that can tell. Those of a stopped variant are not called.
local function has_others(run)
  if redis.call('HLEN', braked_key(run)) > 0 then return false end
  local totals = redis.call('HMGET', run_key(run), 'planned', 'succeeded', 'skipped', 'failed')
  local pending = (totals[1] or 0) - (totals[2] or 0) - (totals[3] or 0) - (totals[4] or 0)
  return pending > redis.call('HLEN', refused_key)
end

-- The fleet runs only when no reason stands; the probe of an outage alone may pass.
local function fleet_suspended(job)
  local reasons = redis.call('HKEYS', suspension_key)
  if #reasons == 0 then return false end
  return not (#reasons == 1 and reasons[1] == 'outage' and redis.call('GET', probe_key) == job)
end

-- Why this worker may not work on this job now; nil when it may.
local function barred(worker, run, shard, index, job, token, variant)
  if not lives(worker) then return 'heartbeat' end
  -- Another Redis has the workspace by now, and may be calling for the same jobs.
  if redis.call('HEXISTS', fleet_key, 'lost') == 1 then return 'holder' end
  if redis.call('HGET', run_key(run), 'status') ~= 'running' then return 'run' end
  if not redis.call('ZSCORE', open_key(run), shard) then return 'closed' end
  if redis.call('HEXISTS', shard_key(run, shard), 'o:' .. index) == 1 then return 'done' end
  if fleet_suspended(job) or redis.call('EXISTS', run_suspension_key(run)) == 1 then return 'suspended' end
  if redis.call('HEXISTS', braked_key(run), variant) == 1 then return 'braked' end
  local holder = redis.call('HGET', lease_key(job), 'token')
  if holder and holder ~= token then return 'held' end
  if redis.call('EXISTS', spooled_key(job)) == 1 then return 'spooled' end
  return nil
end

-- Whether there is anything here for which the workspace is to be held: runs, firings, or a command.
local function has_work()
  return redis.call('SCARD', runs_key) > 0 or redis.call('HLEN', workspace .. 'firings') > 0
    or redis.call('EXISTS', fleet_key .. ':interest') == 1
end

-- A shard that was fed at 0 is marked: what is pending in it is enqueued again at the next tick.
local function mark_for_enqueue(run, shard) redis.call('ZADD', open_key(run), 'XX', 0, shard) end

local function spent_key(period) return workspace .. 'spent:' .. period end
local reserved_key = workspace .. 'reserved'
-- The day and the month in force, written down by the dispatcher (restyle/coordination/periods.py); and the runs whose spending
-- is in their sums.
local periods_key = workspace .. 'periods'
local summed_key = workspace .. 'summed'
-- What tells this Redis from an empty one in its place, and of which process of it stock was taken (workers/background/reconciler.py).
local stock_key = workspace .. 'stock'

-- Changes with each word of a person on a run, and with a loss of everything: what was read in S3 before is out of date.
local function revision_of(run)
  return (redis.call('HGET', stock_key, 'id') or '') .. '/' .. (redis.call('HGET', run_key(run), 'revision') or '0')
end

-- The day and the month that a moment counts to, as `day month`: those in force, whatever clock and time zone a worker
-- has; what was before them is named by the worker.
local function periods_of(at, day, month)
  local now = redis.call('HMGET', periods_key, 'day', 'day_began', 'month', 'month_began')
  if now[1] and at >= tonumber(now[2]) then day = now[1] end
  if now[3] and at >= tonumber(now[4]) then month = now[3] end
  return day .. ' ' .. month
end

-- Credits spent in these periods; and in the shard while it is open, whose days go to S3 with its outcomes.
local function spend(run, shard, credits, periods)
  for period in string.gmatch(periods or '', '%S+') do
    redis.call('INCRBYFLOAT', spent_key(period), credits)
    redis.call('EXPIRE', spent_key(period), 40 * 86400)
    if string.match(period, '^%d+%-%d+%-%d+$') and shard and redis.call('ZSCORE', open_key(run), shard) then
      redis.call('HINCRBYFLOAT', shard_key(run, shard), 's:' .. period, credits)
    end
  end
end

-- What a run has spent before Redis knew it, once: as S3 tells it, by period.
local function spent_earlier(run, amounts)
  if redis.call('SADD', summed_key, run) == 0 then return 0 end
  redis.call('EXPIRE', summed_key, 40 * 86400)
  for period, credits in pairs(amounts) do spend(run, nil, credits, period) end
  return 1
end

-- Credits that were billed for a call of which there is no picture.
local function pay(run, credits, day, month, shard)
  spend(run, shard, credits, periods_of(now_ms(), day, month))
  if redis.call('EXISTS', run_key(run)) == 0 then return 0 end
  redis.call('HINCRBYFLOAT', run_key(run), 'credits', credits)
  return 1
end

-- Who calls for a result, by its content (restyle/job/results/keys.py): `job:<job>`, as long as that one's lease stands or
-- its answer waits to be stored; or `ended:<ms>`, when the last call for it ended, whichever way.
local function result_key(result) return workspace .. 'result:' .. result end
-- Milliseconds that a call for a result is believed without a heartbeat of its worker.
local result_life = 60000
-- And milliseconds that others wait for one whose answer waits to be stored, before they call themselves.
local answer_life = 600000
local function answer_waits(job)
  return redis.call('EXISTS', spooled_key(job), request_key(job), parked_key(job)) > 0
end

-- Ends a lease, with what was set aside for its call; where the call may have been paid for all the same, that
-- counts as spent, and so while a request waits in the API's queue for somebody to take it up again, or the answer on a
-- disk for somebody to hand it on.
local function end_lease(job, is_lost)
  local lease = redis.call('HMGET', lease_key(job), 'run', 'reserved', 'periods', 'shard', 'result')
  redis.call('DEL', lease_key(job))
  if lease[5] and lease[5] ~= '' then
    local key = result_key(lease[5])
    local caller = string.match(redis.call('GET', key) or '', '^job:(.+)$')
    -- Another job may call for it by now.
    if not caller or caller == job then
      if answer_waits(job) then
        redis.call('SET', key, 'job:' .. job, 'PX', answer_life)
      else
        -- Whoever has looked before now whether the result is there looks again.
        redis.call('SET', key, 'ended:' .. string.format('%.0f', now_ms()), 'EX', done_seconds)
      end
    end
  end
  local amount = tonumber(lease[2] or 0)
  if amount == 0 then return end
  redis.call('HINCRBYFLOAT', run_key(lease[1]), 'reserved', -amount)
  redis.call('INCRBYFLOAT', reserved_key, -amount)
  local is_spooled = redis.call('EXISTS', spooled_key(job)) == 1
  local waits = is_spooled or redis.call('EXISTS', request_key(job)) == 1
  if is_lost or waits then
    local key = is_spooled and spooled_key(job) or is_lost and lost_key(job) or request_key(job)
    redis.call('HINCRBYFLOAT', run_key(lease[1]), 'lost', amount)
    spend(lease[1], lease[4], amount, lease[3])
    redis.call('HINCRBYFLOAT', key, 'lost', amount)
    redis.call('HSET', key, 'run', lease[1], 'periods', lease[3] or '', 'shard', lease[4] or '')
    if is_lost or is_spooled then redis.call('EXPIRE', key, 8 * 86400) end
  end
end

-- What counted as spent for a job's lost calls, or for its request, counts so no more.
local function refund(key)
  local lost = redis.call('HMGET', key, 'run', 'lost', 'periods', 'shard')
  redis.call('HDEL', key, 'run', 'lost', 'periods', 'shard')
  if not lost[2] then return end
  if redis.call('EXISTS', run_key(lost[1])) == 1 then redis.call('HINCRBYFLOAT', run_key(lost[1]), 'lost', -lost[2]) end
  spend(lost[1], lost[4], -lost[2], lost[3])
end

-- An answer on a disk was handed on, or is needed no more: its job may be taken.
local function despool(job)
  if redis.call('SREM', spooled_jobs_key, job) == 0 then return end
  local at = redis.call('HMGET', spooled_key(job), 'run', 'shard')
  refund(spooled_key(job))
  redis.call('DEL', spooled_key(job))
  if at[1] and at[2] then mark_for_enqueue(at[1], at[2]) end
end

-- Writes down a request that the API's queue has accepted, for as long as its result can lie there.
local function note_request(job, made_from, request)
  redis.call('HSET', request_key(job), 'made_from', made_from, 'told', request)
  redis.call('EXPIRE', request_key(job), 8 * 86400)
end

-- Gives a lease back; true where it was this token's. A replay, or a worker taken for dead, holds none.
local function release(job, token, is_lost)
  if redis.call('HGET', lease_key(job), 'token') ~= token then return false end
  end_lease(job, is_lost)
  return true
end

-- Takes a job off a worker's list; false where another thread of that worker has its lease by now. Then this was reported
-- before, and its answer was lost: a lease that is on no list would be freed, and its job called a second time.
local function unlist(worker, job, token)
  local lease = redis.call('HMGET', lease_key(job), 'worker', 'token')
  if lease[1] == worker and lease[2] ~= token then return false end
  redis.call('HDEL', jobs_key(worker), job)
  return true
end

-- A line of a run's log, or with nil of the fleet's (restyle/coordination/runs/events.py).
local function note(run, what, by, detail)
  local key = run and run_key(run) .. ':events' or workspace .. 'events'
  redis.call('LPUSH', key, cjson.encode({ at = now_ms() / 1000, what = what, by = by, detail = detail }))
  redis.call('LTRIM', key, 0, 99)
  redis.call('EXPIRE', key, 90 * 86400)
end

local function suspend_run(run, reason, detail, by, until_ms)
  local entry = cjson.encode({ detail = detail, by = by, since = now_ms(), until_ms = until_ms or 0 })
  if redis.call('HSETNX', run_suspension_key(run), reason, entry) == 1 then
    note(run, 'suspended', by, reason .. ': ' .. detail)
  end
end

-- Counts calls and doubts of a job; where its outcome was reported before, they are added to the run's totals here.
local function count(run, shard, index, calls, doubts)
  local key = shard_key(run, shard)
  local ended = redis.call('HEXISTS', key, 'o:' .. index) == 1
  if calls > 0 then redis.call('HINCRBY', key, 'c:' .. index, calls) end
  if doubts > 0 then redis.call('HINCRBY', key, 'd:' .. index, doubts) end
  if ended and calls > 0 then redis.call('HINCRBY', run_key(run), 'attempts', calls) end
  if ended and doubts > 0 then redis.call('HINCRBY', run_key(run), 'in_doubt', doubts) end
end

-- Lost answers of a job; those written to S3 before Redis lost the run count on.
local function doubts_of(run, shard, index, job)
  return tonumber(redis.call('HGET', shard_key(run, shard), 'd:' .. index) or 0)
    + redis.call('SISMEMBER', doubts_key(run), job)
end

local function drop(worker, run, shard, job, token, why)
  release(job, token)
  unlist(worker, job, token)
  if why == 'suspended' or why == 'heartbeat' or why == 'holder' then mark_for_enqueue(run, shard) end
  return { 'drop', why }
end

-- Which server this is. One that restarted from a file that lags, was promoted from a replica that lags, was emptied or
-- thrown back to a snapshot has forgotten calls that are out: none is granted until those who make them have reported.
local server_key = workspace .. 'server'
local beaten_key = workspace .. 'server:beaten'

local function server_id()
  -- Who may not ask for it is recognised by the counter alone.
  local answer = redis.pcall('INFO', 'server')
  return type(answer) == 'string' and string.match(answer, 'run_id:(%w+)') or ''
end

-- The name of what this server remembers, new wherever it has forgotten something: another process answers, or its
-- counter of grants and beats is below what a worker has seen. A server that is new to everybody has forgotten nothing.
local function recognise(seen)
  local known = redis.call('HMGET', server_key, 'incarnation', 'id', 'counter', 'ttl', 'every', 'open')
  local id, counter = server_id(), tonumber(known[3] or 0)
  local is_new = not known[1] and seen == 0
  local is_same = known[1] and known[2] == id
  if is_same and counter >= seen then return known[1] end
  -- Where nothing but the process has changed, those who may have calls out are known. Else they are all who live.
  local ttl = known[4] or 15000
  local least = (known[1] and counter >= seen) and 2 * (known[5] or 3000) or ttl
  local next_count = string.format('%.0f', math.max(counter, seen) + 1)
  redis.call('HSET', server_key, 'counter', next_count, 'least', least, 'most', ttl)
  if is_same and known[6] == '0' then return known[1] end -- one more worker that has seen what is forgotten
  local now = string.format('%.0f', now_ms())
  local incarnation = now .. '-' .. next_count
  redis.call('DEL', beaten_key)
  redis.call('HSET', server_key, 'incarnation', incarnation, 'id', id, 'since', now, 'open', is_new and 1 or 0)
  return incarnation
end

-- A run is rebuilt that this server has forgotten: where it is young, calls may be out that nobody has reported yet.
local function has_forgotten()
  recognise(0)
  local server = redis.call('HMGET', server_key, 'since', 'ttl')
  local ttl = tonumber(server[2] or 15000)
  if now_ms() - server[1] < ttl then redis.call('HSET', server_key, 'open', 0, 'least', ttl, 'most', ttl) end
end

-- How long no call may be granted (ms), since there may be one of which this server does not know; 0: there is none.
local function hold_after_forgetting()
  local server = redis.call('HMGET', server_key, 'open', 'since', 'least', 'most', 'incarnation', 'recalled')
  if server[1] ~= '0' then return 0 end
  local now = now_ms()
  local age = now - server[2]
  if age < 0 then redis.call('HSET', server_key, 'since', string.format('%.0f', now)) end -- the clock was set back
  if age < tonumber(server[3]) then return 200 end
  -- A worker that has not beaten for so long counts as dead, here as everywhere.
  if age < tonumber(server[4]) and #redis.call('SDIFF', workers_key, beaten_key) > 0 then return 200 end
  -- The dispatcher has yet to read the doubts that S3 has.
  if server[6] ~= server[5] then return 200 end
  redis.call('HSET', server_key, 'open', 1)
  return 0
end

-- `more` are further fields of the entry: the reason's cause, the status of the refusals, an outage's wait, where in S3
-- it is written down.
local function suspend(reason, detail, by, until_ms, more)
  if redis.call('HEXISTS', suspension_key, reason) == 1 then return 0 end
  local entry = more or {}
  entry.reason, entry.detail, entry.by, entry.since, entry.until_ms = reason, detail, by, now_ms(), until_ms or 0
  redis.call('HSET', suspension_key, reason, cjson.encode(entry))
  -- What a person does is written down with their name where they do it.
  if reason ~= 'operator' then note(nil, 'suspended', by, reason .. ': ' .. detail) end
  return 1
end
