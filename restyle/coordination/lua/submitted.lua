-- The API's queue has accepted a request for this job: from here on it is polled, and none is made again.
-- A worker that was taken for dead does not overwrite its successor's.
-- args: worker, run, shard, index, job, token, made_from (what the result is made from), request (JSON)
-- returns: 1 noted
local holder = redis.call('HGET', lease_key(job), 'token')
if holder ~= token and (holder or redis.call('EXISTS', request_key(job)) == 1) then return 0 end
note_request(job, made_from, request)
return 1
