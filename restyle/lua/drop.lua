-- Forgets a run of which Redis has something unreadable, so that it is rebuilt from S3; its suspension and log stay.
-- run
local run = arg(1)
redis.call('SREM', runs_key, run)
for _, shard in ipairs(redis.call('ZRANGE', open_key(run), 0, -1)) do redis.call('DEL', shard_key(run, shard)) end
redis.call('DEL', run_key(run), open_key(run), closed_key(run), doubts_key(run))
redis.call('HDEL', workspace .. 'troubles', run)
