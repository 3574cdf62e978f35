-- A parked answer, or one that lay on a disk, has been stored.
-- args: job
-- returns: 1 it was parked
despool(job)
local size = redis.call('STRLEN', parked_key(job))
if size == 0 then return 0 end
redis.call('DEL', parked_key(job))
redis.call('DECRBY', workspace .. 'kept_bytes', size)
return 1
