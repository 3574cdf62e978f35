-- Fires a schedule, as it lies in S3 by now: the claim and the firing in one script, so that none is lost between the two.
-- args: run, seconds (for which the claim is remembered)
-- returns: 1 this call fired it, 0 it was fired before
-- It is put on the list in any case: whoever can write here can forge the claim. One that is over goes again, by S3.
local is_first = redis.call('SET', workspace .. 'fired:' .. run, '1', 'NX', 'EX', seconds)
redis.call('HSETNX', workspace .. 'firings', run, '')
return is_first and 1 or 0
