-- Writes the fence that a majority is to agree on into one of its servers.
-- Stands alone. KEYS as in lease.lua.
-- ARGV: token, fence, '1' to put it in the place of a smaller one that was agreed on, '1' if the token had places in queues
-- Reply: the fence that this server agrees on; '-' and its own if that is greater than the offered one; '' if the lock is
-- not this token's
-- An agreed fence is written with a leading 0, so that whoever asks again for the same token finds it.
-- One step, so that no grant comes between the lock and the counter.
if ARGV[4] == '1' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
end
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then
  return ''
end
local token, fence, since, holder = string.match(value, '^tn1:(%x+):(%d+):(%d+):(%x+)$')
if token ~= ARGV[1] then
  return ''
end
local own, offered = tonumber(fence), tonumber(ARGV[2])
local is_agreed = string.sub(fence, 1, 1) == '0'
if is_agreed and (own >= offered or ARGV[3] ~= '1') then
  return string.format('%.0f', own)
end
if own > offered then
  return '-' .. fence
end
-- The counter first: a lock that says more than its counter could be followed by a smaller fence.
local last = tonumber(redis.call('GET', KEYS[4]) or 0)
if not last or last < offered then
  redis.call('SET', KEYS[4], ARGV[2])
end
redis.call('SET', KEYS[1], 'tn1:' .. token .. ':0' .. ARGV[2] .. ':' .. since .. ':' .. holder, 'KEEPTTL')
return ARGV[2]
