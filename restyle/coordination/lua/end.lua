-- The report is written: the run is over, is moved no more, and is forgotten after a while.
-- run, status, seconds
local run, key = arg(1), run_key(arg(1))
redis.call('HSET', key, 'status', arg(2), 'ended', 1)
redis.call('SREM', runs_key, run)
redis.call('HDEL', workspace .. 'troubles', run)
for _, name in ipairs({ key, closed_key(run), run_suspension_key(run), doubts_key(run), braked_key(run), endings_key(run) }) do
  redis.call('EXPIRE', name, arg(3))
end
