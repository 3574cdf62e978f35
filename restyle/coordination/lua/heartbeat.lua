-- A worker's heartbeat: renews its life, rewrites its list whole, and puts back what Redis has lost of its calls.
-- args: worker, ttl number (ms), state (JSON), every (ms between two), seen number (the highest count),
--   known_incarnation (as the list was made up),
--   jobs list (for each in hand: job; JSON of run, shard and index; JSON of its call, '' unless calling)
-- returns: {suspended (0/1), epoch, incarnation, count, replicas that follow}
local incarnation = recognise(seen)
redis.call('HSET', server_key, 'ttl', ttl, 'every', every)
-- A list that was made up before this server was known may lack a call that another one granted: it does not count.
if known_incarnation == incarnation or known_incarnation == '' then redis.call('SADD', beaten_key, worker) end
local has_lost = redis.call('HGET', server_key, 'open') == '0'

local function ended(at, job)
  return redis.call('GET', done_key(job)) == at.run or redis.call('GETBIT', closed_key(at.run), at.shard) == 1
    or redis.call('HEXISTS', shard_key(at.run, at.shard), 'o:' .. at.index) == 1
end

local function put_back(job, at, call)
  -- Where the job has ended the lease is not lost: this list is older than the report.
  if ended(at, job) then return end
  local lease = redis.call('HMGET', lease_key(job), 'token', 'number')
  if lease[1] ~= call.token then
    -- An earlier holder's: Redis remembers that one, and has forgotten the later. One without a number is of an older
    -- version, and stands.
    if lease[1] and tonumber(lease[2] or math.huge) >= call.number then return end
    end_lease(job)
    redis.call('HSET', lease_key(job), 'run', at.run, 'shard', at.shard, 'index', at.index, 'worker', worker,
      'token', call.token, 'epoch', redis.call('GET', epoch_key) or '0', 'number', call.number,
      'calling', string.format('%.0f', call.since), 'reserved', call.reserved, 'periods', call.periods,
      'result', call.result or '')
    redis.call('HINCRBYFLOAT', run_key(at.run), 'reserved', call.reserved)
    redis.call('INCRBYFLOAT', reserved_key, call.reserved)
  end
  if (call.result or '') ~= '' then
    local claimed = redis.call('GET', result_key(call.result))
    if not claimed or claimed == 'job:' .. job then
      redis.call('SET', result_key(call.result), 'job:' .. job, 'PX', result_life)
    end
  end
  if has_lost and call.request ~= '' and redis.call('EXISTS', request_key(job)) == 0 then
    note_request(job, call.made_from, call.request)
  end
end

redis.call('SET', worker_key(worker), state, 'PX', ttl)
redis.call('SADD', workers_key, worker)
local before = redis.call('HGETALL', jobs_key(worker))
redis.call('DEL', jobs_key(worker))
for n = 1, #before, 2 do
  -- A call that began after this list was made up, by a beat that came late, stays on it.
  local lease = redis.pcall('HMGET', lease_key(before[n]), 'worker', 'calling')
  if lease[1] == worker and lease[2] and now_ms() - lease[2] < ttl then
    redis.call('HSET', jobs_key(worker), before[n], before[n + 1])
  end
end
for n = 1, #jobs, 3 do
  local job, place, call = jobs[n], jobs[n + 1], jobs[n + 2]
  redis.call('HSET', jobs_key(worker), job, place)
  -- A worker lives whatever somebody has made of one run or one lease.
  if call ~= '' then pcall(put_back, job, cjson.decode(place), cjson.decode(call)) end
end
local count = redis.call('HINCRBY', server_key, 'counter', 1)
local following = redis.pcall('INFO', 'replication')
local _, replicas = string.gsub(type(following) == 'string' and following or '', 'state=online', '')
return { redis.call('HLEN', suspension_key), redis.call('GET', epoch_key) or '0', incarnation, count, replicas }
