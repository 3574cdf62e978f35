-- A worker leaves: its life and list end at once, so that nobody waits for its heartbeat to run out.
-- Jobs still on its list keep their leases only while a call may be out; those the dispatcher frees.
-- args: worker
-- returns: 1 it had no job left
if redis.call('HLEN', jobs_key(worker)) == 0 then
  redis.call('DEL', worker_key(worker), jobs_key(worker))
  redis.call('SREM', workers_key, worker)
  return 1
end
redis.call('DEL', worker_key(worker))
return 0
