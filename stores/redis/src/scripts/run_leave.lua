-- Ends a node's lease because the node says so. What it still has in hand is left to a recovery.
-- ARGV: holder, command and channel for hints
-- Reply: 1 if its lease was still its own, else 0
-- One step, because a node that was given up meanwhile must not be said to have left.
local tag = call('HGET', IDS, ARGV[1])
local number = tag and string.match(tag, '^%d+')
local details = number and call('HGET', NODES, number)
local joined, seen, rest = string.match(details or '', '^a (%S+) (%S+) %S+ (.*)$')
if not joined then
  return 0
end
call('HSET', NODES, number, table.concat({ 'l', joined, seen, text(now), rest }, ' '))
-- Recoveries wait no longer for a node that left.
call('ZADD', ALIVE, '0', tag)
tell({ 'left', number })
hint(ARGV[2], ARGV[3])
return 1
