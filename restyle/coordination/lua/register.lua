-- Makes a planned run known, whole; again and again without harm. One that has ended stays so, and is moved no more.
-- args: run, fields json (status, planned, shards, skipped: jobs that were known to be done before; variants, priority,
--   approved, budget, finish_by: '' none; max_failures, max_suspects; each as text)
-- returns: 1 it is moved
local key = run_key(run)
if redis.call('HEXISTS', key, 'ended') == 1 then return 0 end
local status = redis.call('HGET', key, 'status')
-- A run that a person has cancelled never runs again, whoever still takes it for running.
if status and (status ~= 'running' or fields.status == 'running') then fields.status = status end
if fields.finish_by == '' then
  redis.call('HDEL', key, 'finish_by')
  fields.finish_by = nil
end
-- From then on they are counted.
if redis.call('HEXISTS', key, 'planned') == 1 then fields.skipped = nil end
for name, value in pairs(fields) do redis.call('HSET', key, name, value) end
redis.call('PERSIST', key)
-- Its spending is counted as it goes, from here on.
redis.call('SADD', summed_key, run)
redis.call('EXPIRE', summed_key, 40 * 86400)
redis.call('SADD', runs_key, run)
return 1
