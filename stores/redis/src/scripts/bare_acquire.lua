-- Takes a key or waits for it, without anything else: what `tenure bench` measures the hand-off beside.
-- KEYS: the key, its list of waiters. ARGV: token, ttl_ms, channel. Reply: 1 (taken) or 0 (waiting).
-- One step, so that a release cannot slip in between the look and the waiting.
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
redis.call('RPUSH', KEYS[2], ARGV[1] .. ' ' .. ARGV[3])
return 0
