-- Rebuilds a run that Redis has lost, from what S3 says; refused where Redis knows the run.
-- run, planned, shards, cursor, succeeded, skipped, failed, attempts, in doubt, credits, suspect,
-- then each closed shard
local run = arg(1)
-- Late answers may have left a word of it; only a registered run has its size.
if redis.call('HEXISTS', run_key(run), 'planned') == 1 then return 0 end
redis.call('HSET', run_key(run), 'status', 'running', 'planned', arg(2), 'shards', arg(3), 'cursor', arg(4),
  'succeeded', arg(5), 'skipped', arg(6), 'failed', arg(7), 'attempts', arg(8), 'in_doubt', arg(9),
  'credits', arg(10), 'suspect', arg(11), 'closed', #ARGV - 13)
for n = 12, #ARGV - 2 do redis.call('SETBIT', closed_key(run), arg(n), 1) end
has_forgotten()
redis.call('SADD', runs_key, run)
return 1
