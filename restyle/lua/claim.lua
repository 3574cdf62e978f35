-- The one gate before a paid call. Checks all that could forbid it, then takes rate slot and lease together.
-- worker, run, shard, index, job, token, looked (0/1), age of the look-up (ms), max age (ms), interval (us; 0: no limit),
-- weight (samples of 30 steps), price, ceiling (credits a sample of 30 steps; 0: none), least credits to leave,
-- then for the day and for the month: name, budget (0: none), end (ms); and what the result is to be made from,
-- and the highest count seen
-- -> {drop, why} | {wait, ms} | {parked} | {look}
--  | {go, epoch, calls so far, doubts so far, number, credits set aside, periods, incarnation}
--  | {submitted, and the same, the request JSON}
local worker, run, shard, index, job, token = arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)
local looked, age, max_age, interval = arg(7) == '1', tonumber(arg(8)), tonumber(arg(9)), tonumber(arg(10))

local why = barred(worker, run, shard, index, job, token)
if not why and redis.call('HEXISTS', jobs_key(worker), job) == 0 then why = 'heartbeat' end
if why then return drop(worker, run, shard, job, token, why) end
local incarnation = recognise(tonumber(arg(22)))
local wait = hold_after_forgetting()
if wait > 0 then return { 'wait', wait } end

local now = now_ms()
local epoch = redis.call('GET', epoch_key) or '0'
-- Each grant has a number of its own: of two workers that both think they hold a job, the later one does.
local function grant(...)
  end_lease(job)
  local number = redis.call('HINCRBY', server_key, 'counter', 1)
  redis.call('HSET', lease_key(job), 'run', run, 'shard', shard, 'index', index,
    'worker', worker, 'token', token, 'epoch', epoch, 'number', number, ...)
  return number
end

if redis.call('EXISTS', parked_key(job)) == 1 then
  grant()
  give_back(request_key(job))
  return { 'parked' }
end
local calls = tonumber(redis.call('HGET', shard_key(run, shard), 'c:' .. index) or 0)
local doubts = doubts_of(run, shard, index, job)
if not looked and (age > max_age or calls + doubts > 0 or redis.call('EXISTS', done_key(job)) == 1) then
  grant()
  return { 'look' }
end

-- What this call may cost is set aside until its true cost is known, so that calls in flight count.
local weight, price, ceiling, least = tonumber(arg(11)), tonumber(arg(12)), tonumber(arg(13)), tonumber(arg(14))
local seen = tonumber(redis.call('HGET', rate_key, 'unit') or 0)
local estimate = weight * (ceiling > 0 and ceiling or math.max(seen, price))
local periods = ''
for n = 15, 18, 3 do
  if tonumber(arg(n + 1)) > 0 then periods = periods .. arg(n) .. ' ' end
end
local function call(verdict, ...)
  local amount = string.format('%.6f', estimate)
  local number = grant('calling', now, 'reserved', amount, 'periods', periods)
  redis.call('HINCRBYFLOAT', run_key(run), 'reserved', amount)
  redis.call('INCRBYFLOAT', reserved_key, amount)
  return { verdict, epoch, calls, doubts, number, amount, periods, incarnation, ... }
end
-- The API's queue has a request for this very result: it is asked for, and nothing is begun or paid.
local request = redis.call('HMGET', request_key(job), 'made_from', 'told')
if request[1] and request[1] == arg(21) then
  local answer = call('submitted', request[2])
  give_back(request_key(job))
  return answer
end

end_lease(job)
local ledger = redis.call('HMGET', run_key(run), 'budget', 'credits', 'lost', 'reserved', 'finish_by')
local reserved = tonumber(redis.call('GET', reserved_key) or 0)
local limits = {
  { budget = tonumber(ledger[1] or 0), spent = (ledger[2] or 0) + (ledger[3] or 0), reserved = tonumber(ledger[4] or 0),
    told = 'the run has spent ', ends = 0 },
}
for n = 15, 18, 3 do
  local name, budget = arg(n), tonumber(arg(n + 1))
  if budget > 0 then
    table.insert(limits, { budget = budget, spent = tonumber(redis.call('GET', spent_key(name)) or 0),
      reserved = reserved, told = name .. ': all runs have spent ', ends = tonumber(arg(n + 2)) })
  end
end
for _, limit in ipairs(limits) do
  if limit.budget > 0 and limit.spent + estimate > limit.budget + 1e-9 then
    local detail = limit.told .. string.format('%.2f of %.2f credits, and a call may cost %.2f',
      limit.spent, limit.budget, estimate)
    suspend_run(run, 'budget', detail, worker, limit.ends)
    return drop(worker, run, shard, job, token, 'suspended')
  end
  -- It may fit once calls in flight have turned out cheaper than they may be.
  if limit.budget > 0 and limit.spent + limit.reserved + estimate > limit.budget + 1e-9 then return { 'wait', 200 } end
end
local expected = tonumber(redis.call('HGET', rate_key, 'call_ms') or 8000)
if ledger[5] and now + expected > tonumber(ledger[5]) then
  suspend_run(run, 'deadline', string.format('a call takes %.1f s and would not end in time', expected / 1000), worker)
  return drop(worker, run, shard, job, token, 'suspended')
end
if least > 0 then
  local left = redis.call('HGET', rate_key, 'credits')
  if left and left - reserved - estimate < least then
    suspend('no_credits', string.format('%.2f credits are left, and RESTYLE_MIN_CREDITS is %.2f', left, least), worker)
    return drop(worker, run, shard, job, token, 'suspended')
  end
  -- After a resume nobody knows the balance: one call asks, the others wait for its answer.
  if not left and not redis.call('SET', rate_key .. ':asks', job, 'NX', 'PX', 30000) then return { 'wait', 200 } end
end

local rate = redis.call('HMGET', rate_key, 'hold', 'next')
local hold, slot = tonumber(rate[1] or 0), tonumber(rate[2] or 0)
if hold > now then
  return { 'wait', hold - now }
end
if interval > 0 then
  local now_us = now * 1000
  local rank = ({ high = 0, normal = 1, low = 2 })[redis.call('HGET', run_key(run), 'priority') or 'normal']
  -- Slots go by priority: an urgent job that waits is let past.
  for other = 0, rank - 1 do
    if now - tonumber(redis.call('HGET', rate_key, 'waits:' .. other) or 0) < 1500 then return { 'wait', 100 } end
  end
  if slot > now_us then
    redis.call('HSET', rate_key, 'waits:' .. rank, now)
    return { 'wait', math.ceil((slot - now_us) / 1000) }
  end
  redis.call('HDEL', rate_key, 'waits:' .. rank)
  -- Half a second of lateness may be caught up, so that polling for slots does not cost any.
  redis.call('HSET', rate_key, 'next', string.format('%.0f', math.max(slot, now_us - 500000) + interval))
end
redis.call('DEL', request_key(job)) -- of one for another result
return call('go')
