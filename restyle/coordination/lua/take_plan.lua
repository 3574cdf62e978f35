-- Takes the right to plan a run, or renews it: one planner at a time; one that died with it, or says nothing, loses it.
-- run, worker, token, for how long (ms) -> 1 taken, 0 a living worker plans it or nobody is to plan it
local key = workspace .. 'planner:' .. arg(1)
if redis.call('HEXISTS', workspace .. 'firings', arg(1)) == 0 then return 0 end
local holder = redis.call('HMGET', key, 'worker', 'token')
-- One without an end is none of ours: whoever can write here could name any worker that lives.
if holder[1] and holder[2] ~= arg(3) and stands(key) and lives(holder[1]) then return 0 end
redis.call('HSET', key, 'worker', arg(2), 'token', arg(3))
redis.call('PEXPIRE', key, arg(4))
return 1
