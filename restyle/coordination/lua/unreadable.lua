-- An answer was paid for and nobody can read it; it is in S3.
-- args: worker, run, job, kind, call (which of the job's it was), detail,
--   habit number (jobs with such an answer that make it the API's habit rather than an accident; 0: it is an accident)
-- returns: {jobs of the run that had one of this kind, the job had one of this kind before (0/1), the run is suspended (0/1)}
local remembered = 30 * 86400

-- Of the job, in whatever run; reported twice where the first answer of Redis was lost.
local kinds = workspace .. 'unreadable:' .. job
local before = redis.call('HGET', kinds, kind)
redis.call('HSET', kinds, kind, run .. ' ' .. call)
redis.call('EXPIRE', kinds, remembered)
local again = (before and before ~= run .. ' ' .. call) and 1 or 0
if habit == 0 then return { 0, again, 0 } end

local alike = run_key(run) .. ':unreadable:' .. redis.sha1hex(kind)
redis.call('SADD', alike, job)
redis.call('EXPIRE', alike, remembered)

-- In a row, without a picture between: every further call would be paid for nothing.
local row, well = run_key(run) .. ':unreadable', redis.call('HGET', run_key(run), 'ok') or '0'
local began = redis.call('HMGET', row, 'kind', 'well')
if began[1] ~= kind or began[2] ~= well then
  redis.call('DEL', row)
  redis.call('HSET', row, 'kind', kind, 'well', well)
end
redis.call('HSET', row, 'job:' .. job, 1)
redis.call('EXPIRE', row, remembered)
local stopped = 0
if redis.call('HLEN', row) - 2 >= habit then
  suspend_run(run, 'unreadable', detail, worker)
  redis.call('DEL', row)
  stopped = 1
end
return { redis.call('SCARD', alike), again, stopped }
