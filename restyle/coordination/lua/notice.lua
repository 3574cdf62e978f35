-- Puts an event's notices on the list, where they are not. Whether one was sent before is looked up in S3.
-- args: notices list (for each channel: key, notice JSON)
-- returns: how many were put there
local list, put = workspace .. 'notices', 0
for n = 1, #notices - 1, 2 do
  -- What stands there may be nobody's: a notice names itself.
  local known, notice = pcall(cjson.decode, redis.call('HGET', list, notices[n]) or '')
  if not (known and type(notice) == 'table' and notice.key == notices[n]) then
    redis.call('HSET', list, notices[n], notices[n + 1])
    put = put + 1
  end
end
return put
