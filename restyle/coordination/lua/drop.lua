-- Forgets a run of which Redis has something unreadable, so that it is rebuilt from S3; its log stays, and so does a
-- suspension that can be read.
-- args: run
local function kind(key) return redis.call('TYPE', key).ok end
redis.call('SREM', runs_key, run)
if kind(open_key(run)) == 'zset' then
  for _, shard in ipairs(redis.call('ZRANGE', open_key(run), 0, -1)) do redis.call('DEL', shard_key(run, shard)) end
end
if kind(run_suspension_key(run)) ~= 'hash' then redis.call('DEL', run_suspension_key(run)) end
redis.call('DEL', run_key(run), open_key(run), closed_key(run), doubts_key(run), braked_key(run), endings_key(run))
redis.call('HDEL', workspace .. 'troubles', run)
