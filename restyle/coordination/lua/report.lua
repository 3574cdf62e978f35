-- A job's outcome. The first one counts; later ones add only calls, credits and doubts.
-- args: worker, run, shard, index, job, token, outcome, json (the outcome), calls number, credits,
--   wrote_record flag, call_succeeded flag, credits_left ('': unknown), recipe,
--   seconds number (of the call), weight number (samples of 30 steps), day, month, is_suspect flag,
--   lag number (of the call; ms; see below), record_called number (of one whose record was there: when its call
--   began; ms; else ''), record_attempts number, record_doubts number (both by that record, before),
--   variant, entry (its id), ending (good, suspect, or the error's code), words (the ending's, for people),
--   is_reused flag, saved (credits)
-- returns: 1 counted, 0 not the first, -1 the shard is not open
-- A job that is done asks for no request any more.
if wrote_record or outcome == 'skipped' then
  refund(request_key(job))
  redis.call('DEL', request_key(job))
end
local began = redis.call('HGET', lease_key(job), 'token') == token and redis.call('HGET', lease_key(job), 'calling')
local mine = release(job, token)
unlist(worker, job, token)
if wrote_record then redis.call('SET', done_key(job), run, 'EX', done_seconds) end
-- Calls that a line held up arrive at the API together: where answers come later than is usual by more than the pace's
-- own margin, the next slots make room for them. `lag` is what lies between claim and answer beside the API's own work.
local function make_room(lag)
  local seen = redis.call('HMGET', rate_key, 'next', 'lag', 'lag_dev', 'held_back', 'held_back_at')
  if not seen[1] then return end
  local mean, dev = tonumber(seen[2] or lag), tonumber(seen[3] or lag / 2)
  local usual = math.min(lag, mean + 4 * dev + 100)
  redis.call('HSET', rate_key, 'lag', string.format('%.1f', 0.9 * mean + 0.1 * usual),
    'lag_dev', string.format('%.1f', 0.9 * dev + 0.1 * math.abs(usual - mean)))
  local now, at = now_ms(), tonumber(seen[5] or 0)
  local before = (at <= now and now - at < 60000) and tonumber(seen[4]) or 0
  local more = math.min(lag - mean - 3 * dev - 250, most_held_back) - before
  if more <= 0 then return end
  redis.call('HSET', rate_key, 'next', string.format('%.0f', math.max(seen[1], now * 1000) + more * 1000),
    'held_back', string.format('%.0f', before + more), 'held_back_at', now)
end

if call_succeeded then
  redis.call('HDEL', rate_key, 'streak', 'lost', 'unreachable')
  redis.call('DEL', streak_key, alike_key)
  redis.call('HDEL', failing_key, recipe)
  redis.call('HDEL', refusers_key, worker)
  if redis.call('HGET', rate_key, 'asker') == job then redis.call('HDEL', rate_key, 'asker', 'asked_at') end
  if began then
    began = math.min(began, now_ms()) -- a heartbeat may have brought it, by its worker's clock
    if not well_since(began) then redis.call('HSET', rate_key, 'good_began', began) end
    local since = tonumber(redis.call('HGET', rate_key, 'limited_since') or 0)
    -- One that was out before the 429 tells nothing of the limit.
    if began > since or since > now_ms() then redis.call('HDEL', rate_key, 'limited_since', 'rounds', 'gap') end
  end
  make_room(lag)
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
  local recipes = tonumber(redis.call('HGET', run_key(run), 'recipes') or 0)
  if recipes < most_recipes and redis.call('HSETNX', run_key(run), 'ok:' .. recipe, 1) == 1 then
    redis.call('HSET', run_key(run), 'recipes', recipes + 1)
  end
end
redis.call('HDEL', refused_key, job)
redis.call('HDEL', failing_key, job)
-- A probe that ended without a call showed nothing of the API: the next one need not wait for it.
if redis.call('GET', probe_key) == job then redis.call('DEL', probe_key) end
if credits_left ~= '' then
  -- Answers of calls in flight together arrive in any order: the first of them knew the most, the last the least.
  -- A balance that rises by more than they can explain was topped up.
  local key, together = run_key(run), 64
  local before, after = redis.call('HGET', key, 'credits_before'), redis.call('HGET', rate_key, 'credits')
  local early = tonumber(redis.call('HGET', key, 'ok') or 0) <= together
  if not before or (early and credits_left + credits > tonumber(before)) then
    redis.call('HSET', key, 'credits_before', string.format('%.6f', credits_left + credits))
  end
  local rise = credits_left - (after or credits_left)
  if rise <= 0 or rise > together * credits then
    redis.call('HSET', rate_key, 'credits', credits_left, 'credits_seen', credits_left)
  end
  redis.call('HSET', key, 'credits_after', redis.call('HGET', rate_key, 'credits'))
end
if not redis.call('ZSCORE', open_key(run), shard) then
  -- Its shard has closed since, and the call was paid for; of a run or a shard that Redis has lost, the record tells it.
  local is_lost = redis.call('HGET', run_key(run), 'status') == 'running' and redis.call('GETBIT', closed_key(run), shard) == 0
  if mine and calls > 0 and not is_lost and redis.call('HEXISTS', run_key(run), 'planned') == 1 then
    pay(run, credits, day, month)
  end
  return -1
end

-- Brakes (restyle/coordination/runs/brakes.py): counts how the last jobs of a variant ended, and stops the variant where too
-- many of them failed alike or look wrong; the run, where that was its last variant, or a limit counts all of its jobs.
-- Endings that are counted, and as many as it takes at least; bytes of them, beyond which they are none of ours.
local most_endings, least_endings, most_bytes = 50, 20, 30000

-- The last endings of the variant with this one, the newest last: `good`, or how else and of which entry.
local function endings()
  local known = redis.call('HGET', endings_key(run), variant)
  if not known and redis.call('HLEN', endings_key(run)) >= most_recipes then return {} end
  if not known or #known > most_bytes then known = '' end
  local lines = {}
  for line in string.gmatch(known, '[^\n]+') do table.insert(lines, line) end
  table.insert(lines, ending == 'good' and ending or ending .. ' ' .. entry)
  lines = { unpack(lines, math.max(1, #lines - most_endings + 1)) }
  redis.call('HSET', endings_key(run), variant, table.concat(lines, '\n'))
  return lines
end

local function suspend_rest(reason, detail)
  local totals = redis.call('HMGET', run_key(run), 'planned', 'succeeded', 'skipped', 'failed')
  local pending = totals[1] - (totals[2] or 0) - (totals[3] or 0) - (totals[4] or 0)
  if pending > 0 then suspend_run(run, reason, detail, worker) end
end

local function stop_variant(reason, detail)
  local text = cjson.encode({ reason = reason, detail = detail })
  if redis.call('HSETNX', braked_key(run), variant, text) == 0 then return end
  note(run, 'braked', worker, reason .. ': ' .. detail)
  local variants = tonumber(redis.call('HGET', run_key(run), 'variants') or 0)
  if variants > 0 and redis.call('HLEN', braked_key(run)) >= variants then suspend_rest(reason, detail) end
end

-- A job that went well stops nothing.
local function brake()
  local lines, alike = endings(), {}
  if ending == 'good' then return end
  for n = #lines, 1, -1 do
    local name = string.match(lines[n], '^' .. ending .. ' (.*)$')
    if name then table.insert(alike, name) end
  end
  local is_suspect = ending == 'suspect'
  local reason, setting = is_suspect and 'suspect' or 'failing', is_suspect and 'max_suspects' or 'max_failures'
  local number, share = string.match(redis.call('HGET', run_key(run), setting) or '', '^(%d+)(%%?)$')
  local most, count, ended = tonumber(number or 0), #alike, #lines
  if most == 0 then return end
  local examples = count > 0 and ', such as ' .. table.concat(alike, ', ', 1, math.min(3, count)) or ''
  examples = (is_suspect and '' or ': ' .. ending) .. examples .. (words ~= '' and '; ' .. words or '')
  if share == '%' then
    if ended < least_endings or 100 * count < most * ended then return end
    local sentence = is_suspect and '%d of the last %d pictures of variant %s look wrong'
      or '%d of the last %d jobs of variant %s failed alike'
    stop_variant(reason, string.format(sentence, count, ended, variant) .. examples)
  else
    local total = redis.call('HINCRBY', run_key(run), reason .. '_lately', 1)
    local sentence = is_suspect and '%d pictures look wrong, and the limit is %d' or '%d jobs failed, and the limit is %d'
    if total >= most then suspend_rest(reason, string.format(sentence, total, most) .. examples) end
  end
end

local key = shard_key(run, shard)
-- Reported before, by this very worker whose answer from Redis was lost; others may have reported in between.
local counted_key = 'r:' .. index .. ':' .. token
local counted = token ~= '' and redis.call('HGET', key, counted_key)
if counted then return tonumber(counted) end
-- A record that was there may have been counted before its own worker could report it; its cost counts once.
local is_of_record = calls == 0 and outcome == 'succeeded'
if calls > 0 and redis.call('HDEL', key, 'f:' .. index) == 1 then calls = 0 end
count(run, shard, index, calls, 0)
local first = redis.call('HSETNX', key, 'o:' .. index, json)
local pays = calls > 0
if first == 1 and is_of_record then
  pays = redis.call('HSETNX', key, 'f:' .. index, 1) == 1
  local before = redis.call('HMGET', key, 'c:' .. index, 'd:' .. index)
  if record_attempts > tonumber(before[1] or 0) then redis.call('HSET', key, 'c:' .. index, record_attempts) end
  -- The one call whose answer was lost is the one that this record is of: what it may have cost is known now.
  if record_doubts == 0 and before[2] == '1' then refund(lost_key(job)) end
end
-- What it cost comes first: whatever somebody has made of what follows, it is counted.
if pays then
  redis.call('HINCRBYFLOAT', run_key(run), 'credits', credits)
  spend(run, shard, credits, periods_of(record_called or now_ms(), day, month))
end
if token ~= '' then redis.call('HSET', key, counted_key, first) end
if first == 1 then
  redis.call('HINCRBY', key, 'n', 1)
  redis.call('HINCRBY', run_key(run), outcome, 1)
  if is_suspect then redis.call('HINCRBY', run_key(run), 'suspect', 1) end
  if is_reused then
    redis.call('HINCRBY', run_key(run), 'reused', 1)
    redis.call('HINCRBYFLOAT', run_key(run), 'saved', saved)
  end
  local counts = redis.call('HMGET', key, 'c:' .. index, 'd:' .. index)
  redis.call('HINCRBY', run_key(run), 'attempts', counts[1] or 0)
  redis.call('HINCRBY', run_key(run), 'in_doubt', counts[2] or 0)
  if outcome ~= 'skipped' then brake() end
end
return first
