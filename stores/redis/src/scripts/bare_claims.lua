-- What a batch of claims writes, and nothing else: what `tenure bench` measures claims beside.
-- KEYS: records, slots, events, counters, then a history for each claim. ARGV: tick, score, tag, member, then for each
-- claim a field and a record. Reply: how many parts were written.
-- One step, as the claims are.
local sets, slots, events = {}, {}, {}
local n = 0
for i = 1, #KEYS - 4 do
  local field = ARGV[3 + 2 * i]
  sets[n + 1], sets[n + 2] = field, ARGV[4 + 2 * i]
  slots[n + 1], slots[n + 2] = field, ARGV[3]
  events[i] = field
  n = n + 2
  redis.call('ZADD', KEYS[4 + i], ARGV[2], ARGV[4])
end
redis.call('HSET', KEYS[1], unpack(sets))
redis.call('HSET', KEYS[2], unpack(slots))
redis.call('XADD', KEYS[3], 'MAXLEN', '~', '2000', '*', ARGV[1], table.concat(events, '\0'))
redis.call('HINCRBY', KEYS[4], 'sequence', 1)
return n
