-- Says that a node is alive, and who else is.
-- ARGV: holder, ttl_ms, details (JSON), nonce of this request, epoch if there is none
-- Reply: {now_ms, sequence, epoch, losses, had_lapsed (1, 0), the sequence of the node's last call
--   before this, number, details, number, details, …} in the order of joining
-- One step, because whether the lease had ended must be judged as it is made anew.
local holder, nonce = ARGV[1], ARGV[4]
local meta = call('HMGET', META, 'epoch', 'sequence', 'node', 'losses')
local sequence, last = counter(meta[2]), counter(meta[3])
if not sequence or not last then
  return broken_counters()
end
local epoch = meta[1] or ARGV[5]
local tag = call('HGET', IDS, holder)
local number, lapses = string.match(tag or '', '^(%d+)%.(%d+)$')
local kept = number and call('HGET', NODES, number)
local status, joined, before, had_lapsed =
  string.match(kept or '', '^(%a) (%-?%d+) %S+ %S+ (%S+) (%d) ')
if not status then
  -- By the clock, so that a store that forgot its nodes gives no number twice.
  number = text(math.max(last + 1, math.floor(now / 1000)))
  lapses, joined, had_lapsed = '0', text(now), '0'
  call('HSET', META, 'epoch', epoch, 'sequence', text(sequence), 'node', number)
  tell({ 'joined', number })
else
  local ends = call('ZSCORE', ALIVE, tag)
  if not ends or tonumber(ends) <= now then
    call('ZREM', ALIVE, tag)
    -- What it listed under the old tag counts no more.
    lapses, had_lapsed = text(lapses + 1), '1'
    if status ~= 'a' then
      tell({ 'joined', number })
    end
  elseif before ~= nonce then
    had_lapsed = '0'
  end
end
tag = number .. '.' .. lapses
local expires = text(now + tonumber(ARGV[2]))
local details = table.concat({ 'a', joined, text(now), expires, nonce, had_lapsed, ARGV[3] }, ' ')
call('HSET', NODES, number, details)
call('HSET', IDS, holder, tag)
call('ZADD', ALIVE, expires, tag)
local own = call('HGET', META, 'o' .. number) or '0'
sequence = text(sequence + 1)
call('HSET', META, 'epoch', epoch, 'sequence', sequence, 'o' .. number, sequence)
local answer = { now, sequence, epoch, meta[4] or '0', tonumber(had_lapsed), own }
local numbers = {}
local alive = call('ZRANGEBYSCORE', ALIVE, '(' .. text(now), '+inf', 'LIMIT', '0', '4000')
for _, other in ipairs(alive) do
  numbers[#numbers + 1] = tonumber(string.match(other, '^%d+'))
end
table.sort(numbers)
for at, other in ipairs(numbers) do
  numbers[at] = text(other)
end
for at, other in ipairs(#numbers > 0 and call('HMGET', NODES, unpack(numbers)) or {}) do
  answer[#answer + 1], answer[#answer + 2] = numbers[at], other or ''
end
return answer
