-- One dispatcher at a time: takes the lock, or renews it for its holder.
-- args: token, ttl (ms)
-- returns: 1 this one dispatches
local key = workspace .. 'dispatcher'
local holder = holder_of(key)
if holder and holder ~= token then return 0 end
redis.call('SET', key, token, 'PX', ttl)
return 1
