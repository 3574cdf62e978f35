-- The API's queue has accepted a request for this job: from here on it is asked for, and none is made again.
-- A worker that was taken for dead does not overwrite its successor's.
-- worker, run, shard, index, job, token, what the result is made from, the request JSON -> 1 noted
local job, token = arg(5), arg(6)
local holder = redis.call('HGET', lease_key(job), 'token')
if holder ~= token and (holder or redis.call('EXISTS', request_key(job)) == 1) then return 0 end
note_request(job, arg(7), arg(8))
return 1
