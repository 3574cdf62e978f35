-- Takes the right to plan a run, or renews it: one planner at a time; one that died with it, or is silent, loses it.
-- args: run, worker, token, ttl (ms)
-- returns: 1 taken, 0 a living worker plans it or nobody is to plan it
local key = workspace .. 'planner:' .. run
if redis.call('HEXISTS', workspace .. 'firings', run) == 0 then return 0 end
local holder = redis.call('HMGET', key, 'worker', 'token')
-- One without an end is none of ours: whoever can write here could name any worker that lives.
if holder[1] and holder[2] ~= token and stands(key) and lives(holder[1]) then return 0 end
redis.call('HSET', key, 'worker', worker, 'token', token)
redis.call('PEXPIRE', key, ttl)
return 1
