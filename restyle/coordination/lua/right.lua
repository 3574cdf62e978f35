-- A right that one may have at a time: takes it, or renews it for who has it; with 0 ms it is given back.
-- name, token, ttl (ms), only renew (0/1): one that was lost is not taken anew -> 1 it is this token's (or was)
local key, ttl = workspace .. 'right:' .. arg(1), tonumber(arg(3))
local holder = holder_of(key)
if (holder or arg(4) == '1') and holder ~= arg(2) then return 0 end
if ttl > 0 then redis.call('SET', key, arg(2), 'PX', ttl) else redis.call('DEL', key) end
return 1
