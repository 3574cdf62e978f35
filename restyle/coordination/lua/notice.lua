-- Puts an event's notices on the list, where they are not. Whether one was sent before is looked up in S3.
-- for each channel: key, notice JSON -> how many were put there
local list, put = workspace .. 'notices', 0
for n = 1, #ARGV - 3, 2 do
  -- What stands there may be nobody's: a notice names itself.
  local known, notice = pcall(cjson.decode, redis.call('HGET', list, arg(n)) or '')
  if not (known and type(notice) == 'table' and notice.key == arg(n)) then
    redis.call('HSET', list, arg(n), arg(n + 1))
    put = put + 1
  end
end
return put
