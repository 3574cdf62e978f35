-- A worker whose heartbeat lapsed during a call asks whether the job is still its own; a lease that was lost is renewed.
-- worker, run, shard, index, job, token -> 1 store the answer, 0 it is another's or done
local worker, run, shard, index, job, token = arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)
if redis.call('HEXISTS', shard_key(run, shard), 'o:' .. index) == 1 then return 0 end
local holder = redis.call('HGET', lease_key(job), 'token')
-- While the lease stands nobody else has done the job: a done mark is then an earlier run's.
if holder == token then return 1 end
if holder or redis.call('EXISTS', done_key(job)) == 1 then return 0 end
redis.call('HSET', lease_key(job), 'run', run, 'shard', shard, 'index', index,
  'worker', worker, 'token', token, 'epoch', redis.call('GET', epoch_key) or '0', 'calling', now_ms())
return 1
