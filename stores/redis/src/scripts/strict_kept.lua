
-- Answers for a lock that is the token's already; stands before acquire_free.lua. It always writes, so that a WAIT that
-- follows waits for the lock, whoever wrote it: a hand-off, or a request whose answer was lost.
-- Reply: {'kept', now_ms, fence, ttl_ms}; unlike 'granted' it is not undone, because the sender may trust it already.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'string' and string.sub(kept, 1, 37) == 'tn1:' .. ARGV[1] .. ':' then
  local clock = redis.call('TIME')
  local left = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]))
  redis.call('PEXPIRE', KEYS[1], left)
  return { 'kept', math.floor(clock[1] * 1000 + clock[2] / 1000), string.match(kept, '^tn1:%x+:(%d+):'), left }
end
