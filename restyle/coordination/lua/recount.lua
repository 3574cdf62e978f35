-- Counts the outcomes of an open shard, and writes down how many there are and how many there will be.
-- args: run, shard, size
-- returns: outcomes
if not redis.call('ZSCORE', open_key(run), shard) then return 0 end
local n = 0
for _, field in ipairs(redis.call('HKEYS', shard_key(run, shard))) do
  local index = string.match(field, '^o:(%d+)$')
  if index and #index < 10 and tonumber(index) < tonumber(size) then n = n + 1 end
end
redis.call('HSET', shard_key(run, shard), 'size', size, 'n', n)
return n
