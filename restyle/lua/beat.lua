-- A worker's heartbeat: renews its life, rewrites its list whole, and puts back leases that Redis has lost.
-- worker, ttl (ms), state JSON, then for each job in hand: job, {run, shard, index} JSON, token, calling since ('' unless calling)
-- -> {suspended (0/1), epoch}
local worker = arg(1)
local function ended(run, shard, index, job)
  return redis.call('EXISTS', done_key(job)) == 1 or redis.call('GETBIT', closed_key(run), shard) == 1
    or redis.call('HEXISTS', shard_key(run, shard), 'o:' .. index) == 1
end
redis.call('SET', worker_key(worker), arg(3), 'PX', arg(2))
redis.call('SADD', workers_key, worker)
local before = redis.call('HGETALL', jobs_key(worker))
redis.call('DEL', jobs_key(worker))
for n = 1, #before, 2 do
  -- A call that began after this list was made up, by a beat that came late, stays on it.
  local lease = redis.call('HMGET', lease_key(before[n]), 'worker', 'calling')
  if lease[1] == worker and lease[2] and now_ms() - lease[2] < tonumber(arg(2)) then
    redis.call('HSET', jobs_key(worker), before[n], before[n + 1])
  end
end
for n = 4, #ARGV - 2, 4 do
  local job, place, token, calling = arg(n), arg(n + 1), arg(n + 2), arg(n + 3)
  redis.call('HSET', jobs_key(worker), job, place)
  if calling ~= '' and redis.call('EXISTS', lease_key(job)) == 0 then
    local at = cjson.decode(place)
    -- Where the job has ended the lease is not lost: this list is older than the report.
    if not ended(at.run, at.shard, at.index, job) then
      redis.call('HSET', lease_key(job), 'run', at.run, 'shard', at.shard, 'index', at.index,
        'worker', worker, 'token', token, 'epoch', redis.call('GET', epoch_key) or '0', 'calling', calling)
    end
  end
end
return { redis.call('HLEN', suspension_key), redis.call('GET', epoch_key) or '0' }
