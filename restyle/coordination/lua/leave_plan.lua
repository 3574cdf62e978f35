-- Gives back the right to plan a run, where it is still this token's.
-- run, token -> 1 given back
local key = workspace .. 'planner:' .. arg(1)
if redis.call('HGET', key, 'token') ~= arg(2) then return 0 end
redis.call('DEL', key)
return 1
