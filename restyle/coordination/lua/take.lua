-- A worker takes a message: puts the job on its list, or learns that the message is only a hint.
-- args: worker, run, shard, index, job, token, variant
-- returns: {ok} or {drop, why}
local why = barred(worker, run, shard, index, job, token, variant)
-- That the list has the job already says nothing: a beat may have written it between the worker's own look, which
-- knows of its other threads, and this.
if why then
  -- The list stays as it is: where this worker holds the job, another thread of it does.
  if why == 'suspended' or why == 'heartbeat' or why == 'holder' then mark_for_enqueue(run, shard) end
  -- A probe that is no job any more makes way for the next.
  local is_over = why == 'run' or why == 'closed' or why == 'done' or why == 'braked'
  if is_over and redis.call('GET', probe_key) == job then redis.call('DEL', probe_key) end
  return { 'drop', why }
end
redis.call('HSET', jobs_key(worker), job, cjson.encode({ run = run, shard = shard, index = index }))
return { 'ok' }
