-- What the account's balance means while no_credits stands: more than before, and enough for a call, lifts that reason.
-- The balance that calls were last refused at is the most that counts as before, so that one which is not to be believed
-- lets a single call through, and not one after the other.
-- args: balance number, least number (credits that are to be left: RESTYLE_MIN_CREDITS),
--   price number (of a sample of 30 steps), worker, since number (when the reason was put there; ms)
-- returns: 1 lifted
local text = redis.call('HGET', suspension_key, 'no_credits')
if not text or tonumber(cjson.decode(text).since) ~= since then return 0 end
local last = redis.call('HGET', rate_key, 'credits') -- by the last answer that had them
local before = tonumber(redis.call('GET', balance_key) or last)
if before and last then before = math.min(before, tonumber(last)) end
local need = least + math.max(price, tonumber(redis.call('HGET', rate_key, 'unit') or 0))
local lifts = balance >= need and (not before or balance > before + 1e-6)
local kept = lifts and balance or math.min(balance, before or balance)
redis.call('SET', balance_key, string.format('%.6f', kept), 'EX', 30 * 86400)
if not lifts then return 0 end
redis.call('HDEL', suspension_key, 'no_credits')
redis.call('DEL', alike_key, rate_key .. ':asks')
redis.call('HDEL', rate_key, 'credits')
note(nil, 'resumed', worker, string.format('the account has %.2f credits again', balance))
-- Answers to calls begun before this suspend nothing any more.
redis.call('INCR', epoch_key)
return 1
