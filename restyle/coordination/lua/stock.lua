-- Notes that stock of S3 was taken for this Redis: what it lost is here again.
-- args: id (of the stock that was looked at), process
-- returns: 1 noted, 0 it has lost everything once more meanwhile
if redis.call('HGET', stock_key, 'id') ~= id then return 0 end
redis.call('HSET', stock_key, 'server', process)
return 1
