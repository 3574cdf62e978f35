-- A worker releases a job that has no outcome: it is marked for re-enqueue. In a storm its attempts do not count.
-- args: worker, run, shard, index, job, token, restore_attempts flag
-- returns: 1 it was on this worker's list by this token
release(job, token)
if not unlist(worker, job, token) then return 0 end
mark_for_enqueue(run, shard)
if redis.call('GET', probe_key) == job then redis.call('DEL', probe_key) end
if restore_attempts and redis.call('ZSCORE', open_key(run), shard) then
  redis.call('HSET', shard_key(run, shard), 'g:' .. index, redis.call('HGET', shard_key(run, shard), 'c:' .. index) or 0)
end
return 1
