-- Takes the right to write a run's report, once its last shard is closed; of a cancelled run, once none is open.
-- run, worker -> 1 taken, 0 it is not over, or a living worker writes it
local run, key = arg(1), run_key(arg(1))
local told = redis.call('HMGET', key, 'status', 'shards', 'closed', 'writer', 'planned')
if not told[5] or redis.call('SISMEMBER', runs_key, run) == 0 or redis.call('ZCARD', open_key(run)) > 0 then return 0 end
if told[1] == 'running' and tonumber(told[3] or 0) < tonumber(told[2]) then return 0 end
local writer = told[4] or ''
if writer ~= '' and writer ~= arg(2) and lives(writer) then return 0 end
redis.call('HSET', key, 'writer', arg(2))
return 1
