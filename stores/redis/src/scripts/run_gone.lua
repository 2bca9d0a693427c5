-- Finds nodes whose leases ended: the first part of a recovery.
-- ARGV: grace_ms, the most nodes
-- Reply: {now_ms, tag, details, tag, details, …}, the longest gone first
-- Reads only; the last part looks at each of them again.
local answer = { now }
local before = text(now - tonumber(ARGV[1]))
local ended = call('ZRANGEBYSCORE', ALIVE, '-inf', before, 'LIMIT', '0', ARGV[2])
for _, tag in ipairs(ended) do
  answer[#answer + 1] = tag
  answer[#answer + 1] = call('HGET', NODES, string.match(tag, '^%d+') or '') or ''
end
return answer
