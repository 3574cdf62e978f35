-- An answer that a worker had on its disk lies there no more: its job may be taken.
-- args: job, worker
-- returns: 1 its mark is gone, 0 it is another worker's by now, or there is none
if redis.call('HGET', spooled_key(job), 'worker') ~= worker then return 0 end
despool(job)
return 1
