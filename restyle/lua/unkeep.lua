-- A kept answer has been stored.
-- job -> 1 it was kept
local job = arg(1)
local size = redis.call('STRLEN', kept_key(job))
if size == 0 then return 0 end
redis.call('DEL', kept_key(job))
redis.call('DECRBY', workspace .. 'kept_bytes', size)
return 1
