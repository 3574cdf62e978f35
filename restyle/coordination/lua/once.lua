-- What is done once in a while, whoever does it: takes the turn.
-- what, of which, for how long (ms) -> 1 taken, 0 another has it
local key, most = workspace .. arg(1) .. ':' .. arg(2), tonumber(arg(3))
local left = redis.call('PTTL', key)
-- One without an end, or with a later one, is none of ours.
if left >= 0 and left <= most then return 0 end
redis.call('SET', key, '1', 'PX', most)
return 1
