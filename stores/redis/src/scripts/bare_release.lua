-- Gives a key to the first in its list and tells it: what `tenure bench` measures the hand-off beside.
-- KEYS: the key, its list of waiters. ARGV: token, ttl_ms. Reply: 1, or 0 if the key is not the token's.
-- One step, so that nobody can slip in between the holder and the next.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local next = redis.call('LPOP', KEYS[2])
if next then
  local token = string.sub(next, 1, 32)
  redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
  redis.call('PUBLISH', string.sub(next, 34), token)
  return 1
end
return redis.call('DEL', KEYS[1])
