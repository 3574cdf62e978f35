-- Opens a shard, once: refused while anything is suspended, and for a shard that is open or closed already.
-- It begins marked for enqueueing, so that a death between opening and feeding costs one tick.
-- args: run, shard, size, probing flag (an outage alone is no hindrance then)
-- returns: 1 opened
if redis.call('HGET', run_key(run), 'status') ~= 'running' then return 0 end
local reasons = redis.call('HKEYS', suspension_key)
if #reasons > 0 and not (probing and #reasons == 1 and reasons[1] == 'outage') then return 0 end
if redis.call('EXISTS', run_suspension_key(run)) == 1 then return 0 end
if redis.call('ZSCORE', open_key(run), shard) or redis.call('GETBIT', closed_key(run), shard) == 1 then return 0 end
-- The sample is shard 0; nothing else is opened before a person has approved.
if tonumber(shard) > 0 and redis.call('HGET', run_key(run), 'approved') == '0' then return 0 end
redis.call('ZADD', open_key(run), 0, shard)
redis.call('HSET', shard_key(run, shard), 'size', size)
local cursor = tonumber(redis.call('HGET', run_key(run), 'cursor') or 0)
redis.call('HSET', run_key(run), 'cursor', math.max(cursor, shard + 1))
return 1
