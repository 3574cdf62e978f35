-- Rebuilds a run that Redis has lost, whole, from what S3 says: with its limits, what it has spent and why it stands
-- still. The dispatcher and claims see it with the last line.
-- args: run, revision ('': any), in_s3 json (fields of the ledger, each as text; closed shards; doubts: job ids; suspension:
--   reason -> entry; spent: period -> credits, of this run alone; shards: number -> field -> text, those that were open, with
--   what their records tell; lost: job -> field -> text, of calls that may have been paid for; unit: credits of the dearest
--   sample)
-- returns: 1 rebuilt, 0 Redis knows it, -1 a person has decided anew since S3 was read, or all was lost once more
local key = run_key(run)
-- Late answers may have left a word of it; only a registered run has its size.
if redis.call('HEXISTS', key, 'planned') == 1 then return 0 end
if revision ~= '' and revision_of(run) ~= revision then return -1 end
-- What is set aside for calls that are out: what Redis had of it may be lost, with the run, or put back since by beats.
local function set_aside()
  local sum = 0
  for _, worker in ipairs(redis.call('SMEMBERS', workers_key)) do
    for _, job in ipairs(redis.call('HKEYS', jobs_key(worker))) do
      local lease = redis.pcall('HMGET', lease_key(job), 'run', 'reserved', 'worker') -- or what somebody made of it
      if lease[1] == run and lease[3] == worker then sum = sum + (to_number(lease[2] or 0) or 0) end
    end
  end
  return string.format('%.6f', sum)
end
in_s3.fields.reserved = set_aside()
for name, value in pairs(in_s3.fields) do redis.call('HSET', key, name, value) end
redis.call('PERSIST', key)
redis.call('DEL', closed_key(run))
for shard = 0, tonumber(in_s3.fields.shards) - 1 do redis.call('DEL', shard_key(run, shard)) end
for _, shard in ipairs(in_s3.closed) do redis.call('SETBIT', closed_key(run), shard, 1) end
for _, job in ipairs(in_s3.doubts) do redis.call('SADD', doubts_key(run), job) end
for reason, entry in pairs(in_s3.suspension) do redis.call('HSET', run_suspension_key(run), reason, entry) end
for shard, fields in pairs(in_s3.shards) do
  for name, value in pairs(fields) do redis.call('HSET', shard_key(run, shard), name, value) end
  redis.call('ZADD', open_key(run), 0, shard) -- marked for enqueue
end
for job, fields in pairs(in_s3.lost) do
  if redis.call('EXISTS', lost_key(job)) == 0 then
    for name, value in pairs(fields) do redis.call('HSET', lost_key(job), name, value) end
    redis.call('HSET', lost_key(job), 'run', run)
    redis.call('EXPIRE', lost_key(job), 8 * 86400)
  end
end
spent_earlier(run, in_s3.spent)
local unit = tonumber(redis.call('HGET', rate_key, 'unit') or 0)
if in_s3.unit > unit then redis.call('HSET', rate_key, 'unit', string.format('%.6f', in_s3.unit)) end
redis.call('HDEL', workspace .. 'troubles', run)
has_forgotten()
redis.call('SADD', runs_key, run)
return 1
