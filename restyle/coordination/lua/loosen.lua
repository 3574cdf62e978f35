-- A lease that is missing from its living holder's list is free; so is one whose holder has left or is buried.
-- args: job
-- returns: 1 freed
local holder = redis.call('HGET', lease_key(job), 'worker')
if not holder then return 0 end
local is_living = lives(holder)
-- One that is dead and not yet buried is the dispatcher's to free: its call counts.
if not is_living and redis.call('SISMEMBER', workers_key, holder) == 1 then return 0 end
if is_living and redis.call('HEXISTS', jobs_key(holder), job) == 1 then return 0 end
end_lease(job)
return 1
