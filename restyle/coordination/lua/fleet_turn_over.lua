-- Releases the turn.
-- args: turn
-- returns: 1 it was this process's
if redis.call('GET', turn_key) ~= turn then return 0 end
return redis.call('DEL', turn_key)
