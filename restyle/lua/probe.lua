-- Under an outage whose wait is over, lets one job through: at most one at a time.
-- job, longest a probe may take (ms) -> 1 this job is the probe now
local standing = redis.call('HGET', suspension_key, 'outage')
if not standing or redis.call('HLEN', suspension_key) > 1 then return 0 end
if cjson.decode(standing).until_ms > now_ms() then return 0 end
if redis.call('SET', probe_key, arg(1), 'NX', 'PX', arg(2)) then return 1 end
return 0
