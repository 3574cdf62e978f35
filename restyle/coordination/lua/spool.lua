-- A paid answer of a job lies on its worker's disk, and nowhere else.
-- args: worker, run, shard, job
redis.call('HSET', spooled_key(job), 'worker', worker, 'run', run, 'shard', shard)
redis.call('EXPIRE', spooled_key(job), 8 * 86400)
redis.call('SADD', spooled_jobs_key, job)
return 1
