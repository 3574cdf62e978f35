-- Notes that an open shard's outcomes are gone: it is open no more, and is opened again like one that was never.
-- run, shard -> 1 it was lost, 0 it is there, or was closed
local run, shard = arg(1), arg(2)
if redis.call('EXISTS', shard_key(run, shard)) == 1 then return 0 end
return redis.call('ZREM', open_key(run), shard)
