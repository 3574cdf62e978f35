-- A right that one may have at a time: takes it, or renews it for who has it; with 0 ms it is released.
-- args: name, token, ttl number (ms), renew flag (only: one that was lost is not taken anew)
-- returns: 1 it is this token's (or was)
local key = workspace .. 'right:' .. name
local holder = holder_of(key)
if (holder or renew) and holder ~= token then return 0 end
if ttl > 0 then redis.call('SET', key, token, 'PX', ttl) else redis.call('DEL', key) end
return 1
