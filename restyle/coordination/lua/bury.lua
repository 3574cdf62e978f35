-- Forgets a dead worker whose jobs have all been freed; one that has come back keeps its list.
-- args: worker
-- returns: 1 buried
if lives(worker) then return 0 end
redis.call('SREM', workers_key, worker)
redis.call('DEL', jobs_key(worker))
return 1
