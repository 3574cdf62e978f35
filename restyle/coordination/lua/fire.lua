-- Fires a schedule: the claim and the firing in one script, so that none is lost between the two.
-- run, seconds for which the claim is remembered -> 1 this call fired it, 0 it was fired before
if not redis.call('SET', workspace .. 'fired:' .. arg(1), '1', 'NX', 'EX', arg(2)) then return 0 end
redis.call('HSET', workspace .. 'firings', arg(1), '')
return 1
