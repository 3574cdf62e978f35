-- The report is written: the run is over, is moved no more, and is forgotten after a while.
-- args: run, status, seconds (until it is forgotten)
local key = run_key(run)
redis.call('HSET', key, 'status', status, 'ended', 1)
redis.call('SREM', runs_key, run)
redis.call('HDEL', workspace .. 'troubles', run)
for _, name in ipairs({ key, closed_key(run), run_suspension_key(run), doubts_key(run), braked_key(run), endings_key(run) }) do
  redis.call('EXPIRE', name, seconds)
end
