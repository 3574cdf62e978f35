-- A paid answer that came too late to be stored: only its cost counts.
-- worker, run, shard, index, job, token, credits
local worker, run, job, token = arg(1), arg(2), arg(5), arg(6)
release(job, token)
unlist(worker, job, token)
if redis.call('EXISTS', run_key(run)) == 0 then return 0 end
redis.call('HINCRBYFLOAT', run_key(run), 'credits', arg(7))
return 1
