-- Makes a backfill, or moves one on.
-- KEYS[12]: a hash from a backfill's id to "ORDER CURSOR STATE TOKEN JSON".
-- ARGV: id, expected cursor (nothing: make it), cursor, state, token of this request, the rest
--   (JSON), command and channel for hints
-- Reply: 1 if it was done, also by an earlier sending of this request, else 0
-- One step, because the cursor moves only from where it is expected to be.
local kept = call('HGET', KEYS[12], ARGV[1])
local order, cursor, token, rest = string.match(kept or '', '^(%d+) (%S+) %S+ (%S+) (.*)$')
if kept and not order then
  return redis.error_reply('CORRUPT the backfill `' .. ARGV[1] .. '` in `' .. KEYS[12]
    .. '` cannot be read; delete it with HDEL')
end
if kept and token == ARGV[5] then
  return 1
end
if ARGV[2] == '' then
  if kept then
    return 0
  end
  local last = counter(call('HGET', META, 'order'))
  if not last then
    return broken_counters()
  end
  order, rest = text(last + 1), ARGV[6]
  call('HSET', META, 'order', order)
elseif cursor ~= ARGV[2] then
  return 0
end
call('HSET', KEYS[12], ARGV[1], table.concat({ order, ARGV[3], ARGV[4], ARGV[5], rest }, ' '))
hint(ARGV[7], ARGV[8])
return 1
