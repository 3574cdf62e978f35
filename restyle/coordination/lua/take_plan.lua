-- Takes the right to plan a run: one planner at a time; a worker that died with it loses it.
-- run, worker, token -> 1 taken, 0 a living worker plans it or nobody is to plan it
local key = workspace .. 'planner:' .. arg(1)
if redis.call('HEXISTS', workspace .. 'firings', arg(1)) == 0 then return 0 end
local holder = redis.call('HGET', key, 'worker')
if holder and lives(holder) then return 0 end
redis.call('HSET', key, 'worker', arg(2), 'token', arg(3))
return 1
