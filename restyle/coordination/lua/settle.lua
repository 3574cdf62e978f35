-- What became of a job's lost calls is known now: found in the API's queue, or never arrived. They are no doubts.
-- worker, run, shard, index, job, token, found (0/1)
local run, shard, index, job, token = arg(2), arg(3), arg(4), arg(5), arg(6)
if redis.call('HGET', lease_key(job), 'token') ~= token then return 0 end
local key = shard_key(run, shard)
local doubts = tonumber(redis.call('HGET', key, 'd:' .. index) or 0)
-- One that is found is counted again when its picture is stored.
if arg(7) == '1' and doubts > 0 then redis.call('HINCRBY', key, 'c:' .. index, -doubts) end
redis.call('HDEL', key, 'd:' .. index)
redis.call('SREM', doubts_key(run), job)
give_back(lost_key(job))
return 1
