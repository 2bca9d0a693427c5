-- Finds runs that a node may take now: the first half of a take.
-- KEYS[12]: what this request took already.
-- ARGV: holder, limit, offset, how many to look at, and the tasks with little room, as run_taker.lua
--   says
-- Reply: {'lapsed'}; {'again', members} if the request was answered before; or {'due', members,
--   more}: members of DUE, the longest due first, and 1 if there are more to look at.
-- Reads only; the second half looks again at each of them.
if not living_tag(ARGV[1]) then
  return { 'lapsed' }
end
local before = call('LRANGE', KEYS[12], '0', '-1')
if #before > 0 then
  return { 'again', before }
end
local found = call('ZRANGEBYSCORE', DUE, '-inf', text(now), 'LIMIT', ARGV[3], ARGV[4])
local taker = take_as(ARGV[1], 5, false)
local limit, chosen = tonumber(ARGV[2]), {}
for _, member in ipairs(found) do
  if #chosen == limit then
    return { 'due', chosen, 0 }
  end
  local flag, few, run = read_member(member)
  local tick, kind, index, name = string.match(run, '^(%-?%d+)/(%a)(%d+):(.*)$')
  local id = ''
  if kind and kind ~= 's' then
    id, name = string.match(name, '^([^:]*):(.*)$')
  end
  local slot, entry = 's' .. (index or '') .. ':' .. (name or ''), (tick or '') .. (kind or '')
  if name and taker(flag, few, kind, slot, name, entry .. id .. '@') then
    chosen[#chosen + 1] = member
  end
end
return { 'due', chosen, #found == tonumber(ARGV[4]) and 1 or 0 }
