-- A bucket of tokens: KEYS[1]; rate per second, burst, refills, tokens used already, tokens wanted (below 0: given back).
-- Answers how many of the tokens wanted are granted, and how many thousandths of a token are left.
local rate, burst, refills = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used, want = tonumber(ARGV[4]), tonumber(ARGV[5])

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'refills')
local tokens, at, refilled = tonumber(kept[1]), tonumber(kept[2]), tonumber(kept[3])
if not tokens or refills > refilled then
  tokens, at, refilled = burst, now, refills
end
-- What was used was used while tokens came. After a failover the clock may be another server's, which is behind.
tokens = math.min(burst, tokens + math.max(0, now - at) * rate / 1000000 - used)
local granted = math.min(want, math.max(0, math.floor(tokens)))
tokens = math.min(burst, tokens - granted)

redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now, 'refills', refilled)
-- A bucket that is full is as good as none.
redis.call('PEXPIRE', KEYS[1], math.min(86400000, 1000 + math.ceil((burst - tokens) / rate * 1000)))
return {granted, math.floor(tokens * 1000)}
