-- What is done once in a while, whoever does it: takes the turn.
-- args: what, which, most number (how long the turn lasts; ms)
-- returns: 1 taken, 0 another has it
local key = workspace .. what .. ':' .. which
local left = redis.call('PTTL', key)
-- One without an end, or with a later one, is none of ours.
if left >= 0 and left <= most then return 0 end
redis.call('SET', key, '1', 'PX', most)
return 1
