-- One dispatcher at a time: takes the lock, or renews it for its holder.
-- token, ttl (ms) -> 1 this one dispatches
local key = workspace .. 'dispatcher'
local holder = holder_of(key)
if holder and holder ~= arg(1) then return 0 end
redis.call('SET', key, arg(1), 'PX', arg(2))
return 1
