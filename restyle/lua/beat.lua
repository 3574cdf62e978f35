-- A worker's heartbeat: renews its life, rewrites its list whole, and puts back leases that Redis has lost.
-- worker, ttl (ms), state JSON, then for each job in hand: job, {run, shard, index} JSON, token, calling since ('' unless calling)
-- -> {suspended (0/1), epoch}
local worker = arg(1)
redis.call('SET', worker_key(worker), arg(3), 'PX', arg(2))
redis.call('SADD', workers_key, worker)
redis.call('DEL', jobs_key(worker))
for n = 4, #ARGV - 2, 4 do
  local job, place, token, calling = arg(n), arg(n + 1), arg(n + 2), arg(n + 3)
  redis.call('HSET', jobs_key(worker), job, place)
  if calling ~= '' and redis.call('EXISTS', lease_key(job)) == 0 then
    local at = cjson.decode(place)
    redis.call('HSET', lease_key(job), 'run', at.run, 'shard', at.shard, 'index', at.index,
      'worker', worker, 'token', token, 'epoch', redis.call('GET', epoch_key) or '0', 'calling', calling)
  end
end
return { redis.call('HLEN', suspension_key), redis.call('GET', epoch_key) or '0' }
