-- The one gate before a paid call. Checks all that could forbid it, then takes rate slot and lease together.
-- args: worker, run, shard, index, job, token, is_fresh flag (the job was looked up since a claim said `look`),
--   age number (of that lookup; ms), max_age number (ms), interval number (between two calls; us; 0: no limit),
--   weight number (samples of 30 steps), price number (credits a sample of 30 steps),
--   ceiling number (the same, at most; 0: none), least number (credits to leave),
--   day, day_budget number (0: none), month, month_budget number (0: none),
--   made_from (what the result is made from), count_seen number (the highest), variant,
--   result (its key, by content; '': nobody shares it)
-- returns: {drop, why} | {wait, ms} | {parked} | {look} | {refused, the API's words, status}
--   | {go, epoch, calls so far, doubts so far, number, credits set aside, periods, incarnation}
--   | {submitted, and the same, the request JSON}

local why = barred(worker, run, shard, index, job, token, variant)
if not why and redis.call('HEXISTS', jobs_key(worker), job) == 0 then why = 'heartbeat' end
if why then return drop(worker, run, shard, job, token, why) end
local incarnation = recognise(count_seen)
local wait = hold_after_forgetting()
if wait > 0 then return { 'wait', wait } end

local now = now_ms()
-- Whose workspace it is: without a word from S3 nobody knows, and another Redis may take it. The wait holds nothing.
local held_since = redis.call('GET', holder_key)
if not held_since then
  end_lease(job)
  return { 'wait', 300 }
end
-- What was looked up before this Redis held the workspace says nothing of what another one has done meanwhile.
local is_old = age > now - held_since
local epoch = redis.call('GET', epoch_key) or '0'
-- Each grant has a number of its own: of two workers that both think they hold a job, the later one does.
local function grant(...)
  end_lease(job)
  local number = redis.call('HINCRBY', server_key, 'counter', 1)
  redis.call('HSET', lease_key(job), 'run', run, 'shard', shard, 'index', index,
    'worker', worker, 'token', token, 'epoch', epoch, 'number', number, ...)
  return number
end

-- One picture and one recipe are called for once: who asks for a result that another job's call is out for waits, and
-- looks for it once that has ended.
local claimed = result ~= '' and redis.call('GET', result_key(result)) or ''
local function is_called_for()
  local other = string.match(claimed, '^job:(.+)$')
  if not other or other == job then return false end
  return redis.pcall('HGET', lease_key(other), 'result') == result or answer_waits(other)
end
local function take_result()
  if result == '' or is_called_for() then return end
  redis.call('SET', result_key(result), 'job:' .. job, 'PX', answer_waits(job) and answer_life or result_life)
end
local function has_ended_since()
  local at = tonumber(string.match(claimed, '^ended:(%d+)$'))
  if not at then return false end
  if at > now then return not is_fresh end -- the clock was set back
  return at >= now - age - 1
end

if redis.call('EXISTS', parked_key(job)) == 1 then
  grant('result', result)
  take_result()
  refund(request_key(job))
  return { 'parked' }
end
local calls = tonumber(redis.call('HGET', shard_key(run, shard), 'c:' .. index) or 0)
local doubts = doubts_of(run, shard, index, job)
local is_doubtful = not is_fresh and (age > max_age or calls + doubts > 0 or redis.call('EXISTS', done_key(job)) == 1)
if is_old or is_doubtful or has_ended_since() then
  grant()
  return { 'look' }
end

-- What this call may cost is set aside until its true cost is known, so that calls in flight count.
local seen = tonumber(redis.call('HGET', rate_key, 'unit') or 0)
local estimate = weight * (ceiling > 0 and ceiling or math.max(seen, price))
local periods = periods_of(now, day, month)
local function call(verdict, ...)
  local amount = string.format('%.6f', estimate)
  local number = grant('calling', now, 'reserved', amount, 'periods', periods, 'result', result)
  take_result()
  redis.call('HINCRBYFLOAT', run_key(run), 'reserved', amount)
  redis.call('INCRBYFLOAT', reserved_key, amount)
  return { verdict, epoch, calls, doubts, number, amount, periods, incarnation, ... }
end
-- The API's queue has a request for this very result: it is polled, and nothing is begun or paid.
local request = redis.call('HMGET', request_key(job), 'made_from', 'told')
if request[1] and request[1] == made_from then
  local answer = call('submitted', request[2])
  refund(request_key(job))
  return answer
end

end_lease(job)
if is_called_for() then return { 'wait', 250 } end
local ledger = redis.call('HMGET', run_key(run), 'budget', 'credits', 'lost', 'reserved', 'finish_by')
local reserved = tonumber(redis.call('GET', reserved_key) or 0)
local limits = {
  { budget = tonumber(ledger[1] or 0), spent = (ledger[2] or 0) + (ledger[3] or 0), reserved = tonumber(ledger[4] or 0),
    whose = 'the run has spent ', ends = 0 },
}
local ends = redis.call('HMGET', periods_key, 'day_ends', 'month_ends')
local n, budgets = 0, { day_budget, month_budget }
for name in string.gmatch(periods, '%S+') do
  n = n + 1
  local budget = budgets[n]
  if budget > 0 then
    -- Until the dispatcher has summed what was spent before (restyle/coordination/periods.py), nobody knows what may be.
    if not ends[n] then return { 'wait', 500 } end
    table.insert(limits, { budget = budget, spent = tonumber(redis.call('GET', spent_key(name)) or 0),
      reserved = reserved, whose = name .. ': all runs have spent ', ends = tonumber(ends[n]) })
  end
end
for _, limit in ipairs(limits) do
  if limit.budget > 0 and limit.spent + estimate > limit.budget + 1e-9 then
    local detail = limit.whose .. string.format('%.2f of %.2f credits, and a call may cost %.2f',
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
  local asks = rate_key .. ':asks'
  if redis.call('PTTL', asks) > 30000 then redis.call('DEL', asks) end -- the clock was set back
  if not left and not redis.call('SET', asks, job, 'NX', 'PX', 30000) then return { 'wait', 200 } end
end

-- A job that was refused with a word against all calls again once another had a good answer to a call begun since; one
-- that was refused twice is not called again then: it fails alone. Where nobody is left to tell, it tells by itself.
local function in_question(text)
  local refusal = cjson.decode(text)
  local alone = { 'refused', refusal.detail, refusal.status }
  if well_since(refusal.at) then return refusal.n >= 2 and alone or nil end
  if has_others(run) then
    if not refusal.waits or refusal.waits > now then
      refusal.waits = now
      redis.call('HSET', refused_key, job, cjson.encode(refusal))
    end
    if now - refusal.waits < math.min(10000 + 2 * expected, 60000) then return { 'wait', 500 } end
  end
  if refusal.n < 2 then return nil end
  -- What the API says of money is believed, unless the balance that it gave last speaks against it.
  local left = tonumber(redis.call('HGET', rate_key, 'credits_seen') or estimate)
  if (refusal.cause == '' and left >= estimate) or (refusal.cause == 'balance' and left >= 20 * estimate) then
    return alone
  end
  if suspend(refusal.reason, refusal.detail, worker, 0, { cause = refusal.cause, status = refusal.status }) == 1 then
    -- The fleet has stopped for it: once that is lifted, the job calls, and is not judged by what was before.
    refusal.n, refusal.at, refusal.waits = 1, now, nil
    redis.call('HSET', refused_key, job, cjson.encode(refusal))
  end
  return drop(worker, run, shard, job, token, 'suspended')
end
local refusal = redis.call('HGET', refused_key, job)
local verdict = refusal and in_question(refusal)
if verdict then return verdict end

local rate = redis.call('HMGET', rate_key, 'hold', 'next', 'hold_ms', 'limited_since', 'gap', 'asked_at')
local hold, slot = tonumber(rate[1] or 0), tonumber(rate[2] or 0)
local longest = tonumber(rate[3] or 0)
if longest > 0 and hold > now + longest then
  -- Longer than it was to be: the clock was set back.
  hold = now + longest
  redis.call('HSET', rate_key, 'hold', string.format('%.0f', hold))
end
if hold > now then
  return { 'wait', hold - now }
elseif hold > 0 then
  redis.call('HDEL', rate_key, 'hold', 'hold_ms')
end
if rate[4] then
  -- After a 429 one call asks at a time, until an answer is good.
  local since = now - tonumber(rate[6] or 0)
  if since >= 0 and since < tonumber(rate[5] or 500) then return { 'wait', 250 } end
end
if interval > 0 then
  local now_us = now * 1000
  local rank = ({ high = 0, normal = 1, low = 2 })[redis.call('HGET', run_key(run), 'priority') or 'normal'] or 1
  -- Slots go by priority: an urgent job that waits is let past.
  for other = 0, rank - 1 do
    local ago = now - tonumber(redis.call('HGET', rate_key, 'waits:' .. other) or 0)
    if ago >= 0 and ago < 1500 then return { 'wait', 100 } end
  end
  if slot > now_us + interval + most_held_back * 1000 then
    slot = now_us + interval -- further ahead than one is ever set: the clock was set back
    redis.call('HSET', rate_key, 'next', string.format('%.0f', slot))
  end
  if slot > now_us then
    redis.call('HSET', rate_key, 'waits:' .. rank, now)
    return { 'wait', math.ceil((slot - now_us) / 1000) }
  end
  redis.call('HDEL', rate_key, 'waits:' .. rank)
  -- Half a second of lateness may be caught up, so that polling for slots does not cost any.
  redis.call('HSET', rate_key, 'next', string.format('%.0f', math.max(slot, now_us - 500000) + interval))
end
if rate[4] then redis.call('HSET', rate_key, 'asker', job, 'asked_at', now) end
redis.call('DEL', request_key(job)) -- of one for another result
return call('go')
