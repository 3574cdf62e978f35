-- A parked answer has been stored.
-- job -> 1 it was parked
local job = arg(1)
local size = redis.call('STRLEN', parked_key(job))
if size == 0 then return 0 end
redis.call('DEL', parked_key(job))
redis.call('DECRBY', workspace .. 'kept_bytes', size)
return 1
