-- A call ended without a picture: gives the lease back, counts, and draws the fleet's conclusions.
-- worker, run, shard, index, job, token, kind, doubt (0/1), wait (ms), epoch, reason, detail,
-- outage failures, outage jobs, probe wait (ms), longest probe wait (ms), variant, the request is over (0/1),
-- it may be paid for, and nobody says how much (0/1), credits that it cost, day, month
-- kind: failed | limited | refused (suspends) | rejected (the job's fault) | unsent
-- -> {calls used up, doubts, storm (0/1)}
local worker, run, shard, index, job, token = arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)
local kind, doubt, wait, epoch, reason, detail = arg(7), tonumber(arg(8)), tonumber(arg(9)), arg(10), arg(11), arg(12)
local failures, jobs, probe, probe_max = tonumber(arg(13)), tonumber(arg(14)), tonumber(arg(15)), tonumber(arg(16))
local now = now_ms()
if arg(18) == '1' and redis.call('HGET', lease_key(job), 'token') == token then redis.call('DEL', request_key(job)) end
-- Without the lease this was said before, or the dispatcher has counted the call already.
local mine = release(job, token, arg(19) == '1')
if mine and tonumber(arg(20)) > 0 then pay(run, arg(20), arg(21), arg(22), shard) end
local is_open = mine and redis.call('ZSCORE', open_key(run), shard)
if is_open then count(run, shard, index, (kind == 'failed' or kind == 'rejected') and 1 or 0, doubt) end
if kind ~= 'unsent' and kind ~= 'limited' and detail ~= '' then
  redis.call('HSET', run_key(run), 'last_error', detail)
end

local storm = 0
if kind == 'failed' then
  -- A variant that has never succeeded while others of its run have is a bad variant, and no sign of an outage.
  local well = redis.call('HMGET', run_key(run), 'ok', 'ok:' .. arg(17))
  local bad_variant = well[1] and not well[2]
  local streak = redis.call('HINCRBY', rate_key, 'streak', (mine and not bad_variant) and 1 or 0)
  if not bad_variant then redis.call('SADD', streak_key, job) end
  redis.call('HDEL', rate_key, 'limited_since')
  local standing = redis.call('HGET', suspension_key, 'outage')
  if standing and redis.call('GET', probe_key) == job then
    local outage = cjson.decode(standing)
    outage.wait = math.min((outage.wait or probe) * 2, probe_max)
    outage.until_ms = now + outage.wait
    outage.detail = detail
    redis.call('HSET', suspension_key, 'outage', cjson.encode(outage))
    redis.call('DEL', probe_key)
  elseif not standing and streak >= failures and redis.call('SCARD', streak_key) >= jobs then
    suspend('outage', detail, worker, now + probe)
  end
  -- Out of attempts in a storm is not the job's fault, as long as other jobs are left to tell storm from bad job.
  local failing = redis.call('SCARD', streak_key)
  local totals = redis.call('HMGET', run_key(run), 'planned', 'succeeded', 'skipped', 'failed')
  local pending = (totals[1] or 0) - (totals[2] or 0) - (totals[3] or 0) - (totals[4] or 0)
  if redis.call('HEXISTS', suspension_key, 'outage') == 1 or (not bad_variant and failing >= 2 and pending > failing) then storm = 1 end
elseif kind == 'limited' then
  local hold = tonumber(redis.call('HGET', rate_key, 'hold') or 0)
  redis.call('HSET', rate_key, 'hold', string.format('%.0f', math.max(hold, now + wait)))
  redis.call('HSETNX', rate_key, 'limited_since', now)
  if now - redis.call('HGET', rate_key, 'limited_since') > 1800000 then
    suspend('rate_limited', detail, worker)
  end
elseif kind == 'refused' then
  if epoch == (redis.call('GET', epoch_key) or '0') then suspend(reason, detail, worker) end
  if redis.call('GET', probe_key) == job then redis.call('DEL', probe_key) end
elseif kind == 'rejected' then
  redis.call('HDEL', rate_key, 'streak', 'limited_since')
  redis.call('DEL', streak_key)
  if redis.call('GET', probe_key) == job then redis.call('DEL', probe_key) end
end
local counts = redis.call('HMGET', shard_key(run, shard), 'c:' .. index, 'g:' .. index)
return { (counts[1] or 0) - (counts[2] or 0), doubts_of(run, shard, index, job), storm }
