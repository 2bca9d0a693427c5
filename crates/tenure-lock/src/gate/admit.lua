-- Admits a write with a fence, or refuses it because a later holder has written already.
-- KEYS[1]  the gate's own key (any name; a string "FENCE OWNER" is kept there)
-- KEYS[2]  optional: a key that the write sets, in the same hash slot as the gate
-- ARGV     fence, owner (both as decimal digits), and with KEYS[2] the value to set
-- Reply    1 admitted (and written), 0 refused
-- Atomic because a write that is compared and made in two steps can be overtaken between them.
local fence, owner = ARGV[1], ARGV[2]
if not (fence:find('^%d+$') and #fence <= 16 and owner:find('^%d+$')) or tonumber(fence) == 0 then
  return redis.error_reply('GATE a fence and an owner are whole numbers, and the fence is not 0')
end
local last = redis.call('GET', KEYS[1])
if last then
  local last_fence, last_owner = last:match('^(%d+) (%d+)$')
  if not last_fence then
    return redis.error_reply('GATE what the key holds is not a gate')
  end
  local ours, theirs = tonumber(fence), tonumber(last_fence)
  if ours < theirs or (ours == theirs and owner ~= last_owner) then
    return 0
  end
end
redis.call('SET', KEYS[1], fence .. ' ' .. owner)
if KEYS[2] then
  redis.call('SET', KEYS[2], ARGV[3])
end
return 1
