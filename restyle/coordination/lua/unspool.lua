-- An answer that a worker had on its disk lies there no more: its job may be taken.
-- job, worker -> 1 its mark is gone, 0 it is another worker's by now, or there is none
if redis.call('HGET', spooled_key(arg(1)), 'worker') ~= arg(2) then return 0 end
despool(arg(1))
return 1
