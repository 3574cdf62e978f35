-- Releases the right to plan a run, where it is still this token's.
-- args: run, token
-- returns: 1 released
local key = workspace .. 'planner:' .. run
if redis.call('HGET', key, 'token') ~= token then return 0 end
redis.call('DEL', key)
return 1
