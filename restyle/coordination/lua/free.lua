-- Frees one job of a worker that is dead. The caller has written the doubt file where a call was out.
-- args: worker, run, shard, index, job
-- returns: {was calling (0/1), doubts, deaths before a call}
if lives(worker) then return { 0, 0, 0 } end
local lease = redis.call('HMGET', lease_key(job), 'worker', 'calling')
local calling = 0
local key = shard_key(run, shard)
local is_open = redis.call('ZSCORE', open_key(run), shard)
if redis.call('HDEL', jobs_key(worker), job) == 1 or lease[1] == worker then
  if lease[1] == worker then
    end_lease(job, lease[2] and redis.call('EXISTS', parked_key(job)) == 0)
    -- A parked answer is no doubt, nor one on a disk, nor a request whose id is known: each is taken by somebody.
    if lease[2] and redis.call('EXISTS', parked_key(job), spooled_key(job), request_key(job)) == 0 then calling = 1 end
  end
  if is_open then
    if calling == 1 then
      count(run, shard, index, 1, 1)
    else
      redis.call('HINCRBY', key, 'w:' .. index, 1)
    end
    mark_for_enqueue(run, shard)
  end
end
return { calling, doubts_of(run, shard, index, job), tonumber(redis.call('HGET', key, 'w:' .. index) or 0) }
