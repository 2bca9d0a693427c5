-- Strikes tasks from the list of a node, which can no longer run them.
-- KEYS[12]: a hash from a task to its generation if it has only one, else to its list
-- KEYS[13]: a hash from a task to when it was last struck from a list
-- ARGV: holder, tasks
-- Reply: how many lists it stood on
-- One step, because which generation is in force must change in one order for all.
local GENERATIONS, STRUCK = KEYS[12], KEYS[13]
local tag = call('HGET', IDS, ARGV[1])
local own = tag and string.match(tag, '^%d+')
if not own then
  return 0
end
local struck = 0
for item = 2, #ARGV do
  local task = ARGV[item]
  local before = call('HGET', LISTS, task)
  local parts = {}
  for name, tags in string.gmatch(before or '', '([^ ;]+)([^;]*)') do
    local kept = {}
    for other in string.gmatch(tags, '%S+') do
      if string.match(other, '^%d+') ~= own then
        kept[#kept + 1] = other
      end
    end
    parts[#parts + 1] = name .. ' ' .. table.concat(kept, ' ')
  end
  local list = table.concat(parts, ';')
  if before and #list < #before then
    call('HSET', LISTS, task, list)
    call('HSET', STRUCK, task, text(now))
    if #parts > 1 then
      call('HSET', GENERATIONS, task, list)
    end
    struck = struck + 1
  end
end
if struck > 0 then
  -- What claims relied on may have changed. By the clock, so that no value comes back after a loss.
  local registry = counter(call('HGET', META, 'registry')) or 0
  call('HSET', META, 'registry', text(math.max(registry + 1, now_us)))
end
return struck
