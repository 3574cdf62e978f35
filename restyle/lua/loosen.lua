-- A lease that is missing from its living holder's list is free.
-- job -> 1 freed
local job = arg(1)
local holder = redis.call('HGET', lease_key(job), 'worker')
if holder and redis.call('EXISTS', worker_key(holder)) == 1 and redis.call('HEXISTS', jobs_key(holder), job) == 0 then
  return redis.call('DEL', lease_key(job))
end
return 0
