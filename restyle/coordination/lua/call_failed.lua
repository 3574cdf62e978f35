-- A call ended without a picture: releases the lease, counts, and draws the fleet's conclusions.
-- args: worker, run, shard, index, job, token, kind, doubt number (0 or 1), wait number (ms), epoch, reason, detail,
--   failures number (that make an outage), jobs number (that make one), probe number (wait; ms), probe_max number (ms),
--   recipe, ends_request flag, is_lost flag (it may be paid for; the amount is unknown), cost (credits), day, month, cause,
--   status, longest_hold number (ms), longest_call number (ms)
-- returns: {calls used up, doubts, storm (0/1), verdict}
--
-- kind, and what is concluded; docs/decisions/0024 says why:
--   failed       the API failed, or its answer was lost. Many in a row over several jobs are an outage: `failures` over
--                `jobs`; of lost answers, which may be billed, half of each. A job or a recipe (a job's parameters but
--                for picture and seed) that fails again after others had good answers to calls begun since fails for a
--                reason of its own: it counts towards no outage, and spends its attempts. So does a recipe that never
--                went well, where others of its run did, once an outage is left that five probes with such could not end.
--   unreachable  it was never sent, from a worker that knows of no other that fares better: no attempt is spent, and
--                half of `failures` in a row are an outage, however few the jobs.
--   unsent       it was not begun, or could not be sent from this worker alone: nothing is concluded.
--   limited      429: nobody calls before the reset, at least for a backoff and at most for the longest hold; then one
--                call asks (claim.lua) until an answer is good.
--   refused      a refusal that concerns all: the fleet stops at the first. A job that is refused so again after others
--                had good answers to calls begun since, or none are left, is in question instead (verdict 2): it waits
--                for others to tell (claim.lua), and fails alone where they do well.
--                A worker that is refused so for a second job, while others had good answers and it had none, is to
--                stand aside (verdict 3); where it does not, the fleet stops at its next.
--   rejected     a refusal that concerns this job: it fails alone.
--   Of both: as many jobs in a row refused under one status, without a good answer between, stop the fleet whatever
--   was said: three, and twice as many each time a person resumes from that within a day.
-- An answer to a call that was begun before the last resume stops nothing and holds nobody.
-- verdict: 0 nothing stopped, 1 the fleet stands for it, 2 the job is in question, 3 the worker is
local allowed_at_first, remembered, a_day, backoff_most, suspect_probes = 3, 500, 86400, 60000, 5
local now = now_ms()
local is_fresh = epoch == (redis.call('GET', epoch_key) or '0')
local is_probe = redis.call('GET', probe_key) == job
if ends_request and redis.call('HGET', lease_key(job), 'token') == token then redis.call('DEL', request_key(job)) end
-- Without the lease this was reported before, or the dispatcher has counted the call already.
local mine = release(job, token, is_lost)
if mine and tonumber(cost) > 0 then pay(run, cost, day, month, shard) end
local is_open = mine and redis.call('ZSCORE', open_key(run), shard)
if is_open then count(run, shard, index, (kind == 'failed' or kind == 'rejected') and 1 or 0, doubt) end
if kind ~= 'unsent' and kind ~= 'limited' and detail ~= '' then
  redis.call('HSET', run_key(run), 'last_error', detail)
end
if redis.call('HGET', rate_key, 'asker') == job then redis.call('HDEL', rate_key, 'asker', 'asked_at') end

local function half(count) return math.max(2, math.ceil(count / 2)) end

-- Notes a failure of a job or a recipe; whether it has failed again so many times while others did well.
local function fails_alone(name, turns)
  local text = redis.call('HGET', failing_key, name)
  if not text and redis.call('HLEN', failing_key) >= remembered then redis.call('DEL', failing_key) end
  local seen = text and cjson.decode(text) or { at = now, turns = 0 }
  if text and (seen.at > now or well_since(seen.at)) then
    seen.turns = seen.turns + (seen.at <= now and 1 or 0)
    seen.at = now
  end
  redis.call('HSET', failing_key, name, cjson.encode(seen))
  redis.call('EXPIRE', failing_key, a_day)
  return seen.turns >= turns
end

-- A probe has failed, with a recipe that never went well in its run while others did (suspect), or another: where only
-- suspect ones are left to probe with, and so many have failed, they fail alone from here on and the outage is none.
local function probe_failed(entry, is_suspect)
  redis.call('DEL', probe_key)
  entry.suspects = is_suspect and entry.suspects or {}
  entry.tries = is_suspect and (entry.tries or 0) + 1 or 0
  if is_suspect then entry.suspects[recipe] = true end
  if entry.tries < suspect_probes then
    entry.wait = math.min((entry.wait or probe) * 2, probe_max)
    entry.until_ms, entry.detail = now + entry.wait, detail
    redis.call('HSET', suspension_key, 'outage', cjson.encode(entry))
    return true
  end
  for name in pairs(entry.suspects) do
    redis.call('HSET', failing_key, name, cjson.encode({ at = now, turns = 1 }))
  end
  redis.call('HDEL', suspension_key, 'outage')
  redis.call('HDEL', rate_key, 'streak', 'lost')
  redis.call('DEL', streak_key)
  note(nil, 'resumed', worker, 'no outage: jobs of one make fail, after others of their run went well')
  return false
end

-- One more failure under an outage, or one too many; true while an outage stands.
local function outage(is_over_limit, is_suspect)
  local standing = redis.call('HGET', suspension_key, 'outage')
  if standing and is_probe then
    return probe_failed(cjson.decode(standing), is_suspect)
  elseif not standing and is_over_limit then
    suspend('outage', detail, worker, now + probe, { wait = probe })
    return true
  end
  return standing ~= false
end

local function on_failure()
  local recipe_alone = fails_alone(recipe, 1)
  local is_alone = fails_alone(job, 3) or recipe_alone
  redis.call('HDEL', rate_key, 'limited_since', 'rounds', 'unreachable')
  local streak = redis.call('HINCRBY', rate_key, 'streak', (mine and not is_alone) and 1 or 0)
  local lost = 0
  if doubt == 0 then
    redis.call('HDEL', rate_key, 'lost')
  else
    lost = redis.call('HINCRBY', rate_key, 'lost', (mine and not is_alone) and 1 or 0)
  end
  if not is_alone then redis.call('SADD', streak_key, job) end
  local failing, well = redis.call('SCARD', streak_key), redis.call('HMGET', run_key(run), 'ok', 'ok:' .. recipe, 'recipes')
  local is_suspect = well[1] and not well[2] and tonumber(well[3] or 0) < most_recipes
  local too_many = (streak >= failures and failing >= jobs) or (lost >= half(failures) and failing >= half(jobs))
  if outage(too_many, is_suspect) then return 1 end
  -- Out of attempts in a storm is not the job's fault, as long as other jobs are left to tell storm from bad job.
  local totals = redis.call('HMGET', run_key(run), 'planned', 'succeeded', 'skipped', 'failed')
  local pending = (totals[1] or 0) - (totals[2] or 0) - (totals[3] or 0) - (totals[4] or 0)
  local others = pending > failing and redis.call('HLEN', braked_key(run)) == 0
  return (not is_alone and failing >= 2 and others) and 1 or 0
end

local function on_limit()
  if not is_fresh then return end
  local held = redis.call('HMGET', rate_key, 'hold', 'limited_since')
  local hold, since = tonumber(held[1] or 0), tonumber(held[2] or now)
  if since > now then since = now end
  local rounds = tonumber(redis.call('HGET', rate_key, 'rounds') or 0)
  -- Answers to calls that were out together are one round.
  if hold <= now or rounds == 0 then rounds = redis.call('HINCRBY', rate_key, 'rounds', 1) end
  local least = math.min(1000 * 2 ^ math.min(rounds - 1, 10), backoff_most)
  hold = math.min(math.max(hold, now + math.max(wait, least)), now + longest_hold)
  -- Who asks after a long hold asks alone; after a short one others follow at two a second, so that little is lost.
  local asks_alone = hold - since >= 60000 or rounds > 3
  redis.call('HSET', rate_key, 'hold', string.format('%.0f', hold), 'hold_ms', string.format('%.0f', hold - now),
    'limited_since', string.format('%.0f', since), 'hold_detail', detail, 'hold_by', worker,
    'gap', asks_alone and longest_call or 500)
  if now - since > 1800000 then suspend('rate_limited', detail, worker) end
end

-- How many jobs in a row were refused under this status; whether those are too many.
local function alike()
  if redis.call('HGET', rate_key, 'alike') ~= status then redis.call('DEL', alike_key) end
  redis.call('HSET', rate_key, 'alike', status)
  redis.call('SADD', alike_key, job)
  return redis.call('SCARD', alike_key) >= tonumber(redis.call('GET', allowed_key(status)) or allowed_at_first)
end

-- The fleet stops: what spoke against single jobs speaks for nothing any more.
local function void_evidence()
  local refused = redis.call('HGETALL', refused_key)
  for n = 1, #refused, 2 do
    local entry = cjson.decode(refused[n + 1])
    entry.n, entry.at, entry.waits = 1, now, nil
    redis.call('HSET', refused_key, refused[n], cjson.encode(entry))
  end
end

local function on_refusal()
  if is_probe then redis.call('DEL', probe_key) end
  if not is_fresh then return 0 end
  local too_many, text = alike(), redis.call('HGET', refused_key, job)
  local before = text and cjson.decode(text)
  if not mine and before and before.n >= 2 then return 2 end -- reported before
  -- Where no others are left, those of the last day have to do.
  local others_well = before and (well_since(before.at) or (not has_others(run) and well_since(now - 1000 * a_day)))
  local in_question = others_well and not too_many
  local known = redis.call('HGET', refusers_key, worker)
  local refuser = known and cjson.decode(known) or { at = now }
  -- Once: where it goes on all the same, the fleet stops.
  local is_worker = known and not before and not too_many and not refuser.told and well_since(refuser.at)
  refuser.told = is_worker or refuser.told
  redis.call('HSET', refusers_key, worker, cjson.encode(refuser))
  redis.call('EXPIRE', refusers_key, a_day)
  if is_worker then return 3 end
  if text or redis.call('HLEN', refused_key) < remembered then
    redis.call('HSET', refused_key, job, cjson.encode({
      at = now, n = in_question and before.n + 1 or 1, detail = detail, status = status, reason = reason, cause = cause,
    }))
    redis.call('EXPIRE', refused_key, 7 * a_day)
  end
  if in_question then return 2 end
  if suspend(reason, detail, worker, 0, { cause = cause, status = status, alike = too_many or nil }) == 1 then
    void_evidence()
  end
  return 1
end

local function on_rejection()
  redis.call('HDEL', rate_key, 'streak', 'lost', 'unreachable', 'limited_since', 'rounds')
  redis.call('DEL', streak_key)
  if is_probe then redis.call('DEL', probe_key) end
  if status == '0' or not is_fresh or not alike() then return 0 end
  local sentence = redis.call('SCARD', alike_key) .. ' jobs in a row were refused alike, and none did well between: ' .. detail
  suspend('refused', sentence, worker, 0, { status = status, alike = true })
  return 1
end

local storm, verdict = 0, 0
if kind == 'failed' then
  storm = on_failure()
elseif kind == 'unreachable' then
  local streak = redis.call('HINCRBY', rate_key, 'unreachable', mine and 1 or 0)
  storm = outage(streak >= half(failures)) and 1 or 0
elseif kind == 'limited' then
  on_limit()
elseif kind == 'refused' then
  verdict = on_refusal()
elseif kind == 'rejected' then
  verdict = on_rejection()
end
local counts = redis.call('HMGET', shard_key(run, shard), 'c:' .. index, 'g:' .. index)
return { (counts[1] or 0) - (counts[2] or 0), doubts_of(run, shard, index, job), storm, verdict }
