-- Parks a paid answer that S3 would not take, as long as all that is parked fits.
-- args: job, text, limit number (bytes)
-- returns: 1 parked
local total_key = workspace .. 'kept_bytes'
local before = redis.call('STRLEN', parked_key(job))
local total = tonumber(redis.call('GET', total_key) or 0) - before + #text
if total > limit then return 0 end
redis.call('SET', parked_key(job), text)
redis.call('SET', total_key, total)
despool(job)
return 1
