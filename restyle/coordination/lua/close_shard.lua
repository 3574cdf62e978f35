-- Closes a shard whose results are in S3: its outcomes leave Redis, its totals stay.
-- args: run, shard
-- returns: 1 closed
if not redis.call('ZSCORE', open_key(run), shard) then return 0 end
redis.call('ZREM', open_key(run), shard)
redis.call('DEL', shard_key(run, shard))
redis.call('SETBIT', closed_key(run), shard, 1)
redis.call('HINCRBY', run_key(run), 'closed', 1)
return 1
