-- Under an outage whose wait is over, lets one job through: at most one at a time.
-- args: job, longest number (that a probe may take; ms), at_once flag (work has come that nothing was tried for)
-- returns: 1 this job is the probe now
local standing = redis.call('HGET', suspension_key, 'outage')
if not standing or redis.call('HLEN', suspension_key) > 1 then return 0 end
local outage, now = cjson.decode(standing), now_ms()
-- A wait that is longer than it was to be is one whose clock was set back; so is a probe's life.
local left = outage.until_ms - now
if not at_once and left > 0 and left <= (outage.wait or left) then return 0 end
if redis.call('PTTL', probe_key) > longest then redis.call('DEL', probe_key) end
if redis.call('SET', probe_key, job, 'NX', 'PX', longest) then return 1 end
return 0
