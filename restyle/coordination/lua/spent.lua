-- A paid answer that came too late to be stored: only its cost counts.
-- worker, run, shard, index, job, token, credits, day, month
local worker, run, job, token = arg(1), arg(2), arg(5), arg(6)
release(job, token)
unlist(worker, job, token)
return pay(run, arg(7), arg(8), arg(9), arg(3))
