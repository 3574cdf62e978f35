-- A paid answer of a job lies on its worker's disk, and nowhere else.
-- worker, run, shard, job
redis.call('HSET', spooled_key(arg(4)), 'worker', arg(1), 'run', arg(2), 'shard', arg(3))
redis.call('EXPIRE', spooled_key(arg(4)), 8 * 86400)
redis.call('SADD', spooled_jobs_key, arg(4))
return 1
