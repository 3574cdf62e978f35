-- The API's queue has accepted a request for this job: from here on it is asked for, and none is made again.
-- As long as its result can lie there; a worker that was taken for dead does not overwrite its successor's.
-- worker, run, shard, index, job, token, what the result is made from, the request JSON -> 1 noted
local job, token = arg(5), arg(6)
local holder = redis.call('HGET', lease_key(job), 'token')
if holder ~= token and (holder or redis.call('EXISTS', request_key(job)) == 1) then return 0 end
redis.call('HSET', request_key(job), 'made_from', arg(7), 'told', arg(8))
redis.call('EXPIRE', request_key(job), 8 * 86400)
return 1
