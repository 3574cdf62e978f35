-- A paid answer that came too late to be stored: only its cost counts.
-- args: worker, run, shard, index, job, token, credits, day, month
release(job, token)
unlist(worker, job, token)
return pay(run, credits, day, month, shard)
