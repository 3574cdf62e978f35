-- Notes that an open shard's outcomes are gone: it is open no more, and is opened again like one that was never.
-- args: run, shard
-- returns: 1 it was lost, 0 it is there, or was closed
if redis.call('EXISTS', shard_key(run, shard)) == 1 then return 0 end
return redis.call('ZREM', open_key(run), shard)
