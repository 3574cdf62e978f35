-- Takes the right to write a run's report, once its last shard is closed; of a cancelled run, once none is open.
-- args: run, worker
-- returns: 1 taken, 0 it is not over, or a living worker writes it
local key = run_key(run)
local fields = redis.call('HMGET', key, 'status', 'shards', 'closed', 'writer', 'planned')
if not fields[5] or redis.call('SISMEMBER', runs_key, run) == 0 or redis.call('ZCARD', open_key(run)) > 0 then return 0 end
if fields[1] == 'running' and tonumber(fields[3] or 0) < tonumber(fields[2]) then return 0 end
local writer = fields[4] or ''
if writer ~= '' and writer ~= worker and lives(writer) then return 0 end
redis.call('HSET', key, 'writer', worker)
return 1
