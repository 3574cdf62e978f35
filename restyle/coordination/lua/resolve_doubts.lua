-- What became of a job's lost calls is known now: they are in the API's queue, or never arrived. They are no doubts.
-- args: worker, run, shard, index, job, token, is_queued flag
-- returns: 1 the job was this token's
if redis.call('HGET', lease_key(job), 'token') ~= token then return 0 end
local key = shard_key(run, shard)
local doubts = tonumber(redis.call('HGET', key, 'd:' .. index) or 0)
-- One that is in the queue is counted again when its picture is stored.
if is_queued and doubts > 0 then redis.call('HINCRBY', key, 'c:' .. index, -doubts) end
redis.call('HDEL', key, 'd:' .. index)
redis.call('SREM', doubts_key(run), job)
refund(lost_key(job))
return 1
