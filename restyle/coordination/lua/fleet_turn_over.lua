-- Gives the turn back.
-- turn -> 1 it was this process's
if redis.call('GET', turn_key) ~= arg(1) then return 0 end
return redis.call('DEL', turn_key)
