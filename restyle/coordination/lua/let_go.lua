-- A worker parts with a job that has no outcome: it is fed again. In a storm its attempts are given back.
-- worker, run, shard, index, job, token, give attempts back (0/1)
local worker, run, shard, index, job, token = arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)
release(job, token)
if not unlist(worker, job, token) then return 0 end
hunger(run, shard)
if redis.call('GET', probe_key) == job then redis.call('DEL', probe_key) end
if arg(7) == '1' and redis.call('ZSCORE', open_key(run), shard) then
  redis.call('HSET', shard_key(run, shard), 'g:' .. index, redis.call('HGET', shard_key(run, shard), 'c:' .. index) or 0)
end
return 1
