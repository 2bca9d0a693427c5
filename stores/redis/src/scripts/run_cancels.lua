-- Finds the runs in a node's hands that are asked to stop.
-- KEYS[12]: CANCELS.
-- ARGV: holder
-- Reply: {slot, mark, request, …}, the request as JSON
-- Reads only. A request ends with its run, in the step that ends the run.
local tag = call('HGET', IDS, ARGV[1])
local node, answer = tag and string.match(tag, '^%d+'), {}
if not node then
  return answer
end
local asked = call('HGETALL', KEYS[12])
for at = 1, #asked, 2 do
  local slot, mark = string.match(asked[at], '^(%Z*)%z(.*)$')
  local runs = slot and call('HGET', SLOTS, slot)
  if runs and string.find(' ' .. runs .. ' ', ' ' .. mark .. '@' .. node .. ' ', 1, true) then
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = slot, mark, asked[at + 1]
  end
end
return answer
