-- Lifts the fleet's suspension. Answers to calls begun before this suspend nothing any more.
redis.call('DEL', suspension_key, streak_key, probe_key)
redis.call('DEL', rate_key .. ':asks')
redis.call('HDEL', rate_key, 'streak', 'hold', 'limited_since', 'credits')
return redis.call('INCR', epoch_key)
