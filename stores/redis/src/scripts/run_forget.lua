-- Forgets nodes that were not heard of for long.
-- ARGV: forget holders not seen since this, forget nodes not seen since this; for each node:
--   number, holder
-- Reply: how many nodes were forgotten
-- One step, because a node that beats in the meantime must stay.
local forgotten = 0
for item = 1, (#ARGV - 2) / 2 do
  local number, holder = ARGV[2 * item + 1], ARGV[2 * item + 2]
  local details = call('HGET', NODES, number)
  local seen = tonumber(string.match(details or '', '^%a %S+ (%d+) ') or '')
  local tag = call('HGET', IDS, holder)
  local is_its_own = tag and string.match(tag, '^%d+') == number
  if seen and seen < tonumber(ARGV[1]) and not (is_its_own and call('ZSCORE', ALIVE, tag)) then
    if is_its_own then
      call('HDEL', IDS, holder)
    end
    if seen < tonumber(ARGV[2]) then
      call('HDEL', NODES, number)
      call('HDEL', META, 'o' .. number)
      forgotten = forgotten + 1
    end
  end
end
return forgotten
