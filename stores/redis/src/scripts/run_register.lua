-- Lists tasks for a node, each in one definition.
-- KEYS[12]: a hash from a task to when it was first registered; KEYS[13]: a hash from "GENERATION
--   TASK" to the definition; KEYS[14]: a hash from a task to its generation if it has only one,
--   else to its list; KEYS[15..]: the history of each task.
-- ARGV: holder; for each definition: task, generation, definition (JSON)
-- Reply: {'unknown'} if the node never beat, else {now_ms, sequence, first_ms, generation in force, pause or
--   nothing, latest scheduled run in the history or nothing, …}
-- One step, because which generation is the newest must be decided in one order for all.
local FIRST, DEFINITIONS, GENERATIONS = KEYS[12], KEYS[13], KEYS[14]
local tag = call('HGET', IDS, ARGV[1])
if not tag then
  return { 'unknown' }
end
local own, is_listed = string.match(tag, '^%d+') or '', is_alive(tag)
local MOST_GENERATIONS = 16
-- A list that is longer holds nodes that are gone.
local LONG = 100 + 20 * call('ZCARD', ALIVE)

-- The list with the node under `generation` and nowhere else, without those that are dead; whether
-- the generation is new; generations that it forgot; and whether the node left the newest.
local function listed(list, generation)
  -- Most tasks have one generation, which one more node lists, or the same again.
  if list and is_listed and #list < LONG and not string.find(list, ';', 1, true)
    and string.sub(list, 1, #generation + 1) == generation .. ' ' then
    if string.find(list .. ' ', ' ' .. tag .. ' ', 1, true) then
      return list, false, {}, false
    elseif not string.find(list, ' ' .. own .. '.', 1, true) then
      return list .. ' ' .. tag, false, {}, false
    end
  end
  local names, parts, known, has_left = {}, {}, false, false
  for name, tags in string.gmatch(list or '', '([^ ;]+)([^;]*)') do
    local kept = {}
    for other in string.gmatch(tags, '%S+') do
      if string.match(other, '^%d+') == own then
        has_left = has_left or (#names == 0 and name ~= generation)
      elseif is_alive(other) then
        kept[#kept + 1] = other
      end
    end
    if name == generation then
      known = true
      if is_listed then
        kept[#kept + 1] = tag
      end
    end
    names[#names + 1], parts[#parts + 1] = name, name .. ' ' .. table.concat(kept, ' ')
  end
  if not known then
    table.insert(names, 1, generation)
    table.insert(parts, 1, generation .. ' ' .. (is_listed and tag or ''))
  end
  local forgotten = {}
  while #parts > MOST_GENERATIONS do
    forgotten[#forgotten + 1] = table.remove(names)
    table.remove(parts)
  end
  return table.concat(parts, ';'), not known, forgotten, has_left
end

-- The latest scheduled run among the newest of a history.
local function latest(history)
  for _, place in ipairs(call('ZRANGE', history, '0', '15')) do
    if string.find(place, '/s', 1, true) then
      return place
    end
  end
  return ''
end

local sequence = counter(call('HGET', META, 'sequence'))
if not sequence then
  return broken_counters()
end
sequence = text(sequence + 1)
call('HSET', META, 'sequence', sequence, 'o' .. own, sequence)
local answer, is_changed = { now, sequence }, false
for item = 1, #KEYS - 14 do
  local a = 3 * item - 1
  local task, generation = ARGV[a], ARGV[a + 1]
  local before = call('HGET', LISTS, task)
  local list, is_new, forgotten, has_left = listed(before, generation)
  is_changed = is_changed or is_new or has_left
  if list ~= before then
    call('HSET', LISTS, task, list)
    call('HSET', GENERATIONS, task, string.find(list, ';', 1, true) and list or generation)
  end
  if is_new then
    call('HSET', DEFINITIONS, generation .. ' ' .. task, ARGV[a + 2])
    call('HSETNX', FIRST, task, text(now))
    for _, name in ipairs(forgotten) do
      call('HDEL', DEFINITIONS, name .. ' ' .. task)
    end
  end
  local pause = call('HGET', PAUSES, task)
  answer[#answer + 1] = call('HGET', FIRST, task) or text(now)
  answer[#answer + 1] = (current(list))
  answer[#answer + 1] = pause and holds(pause) and pause or ''
  answer[#answer + 1] = latest(KEYS[14 + item])
end
if is_changed then
  -- What claims relied on may have changed. By the clock, so that no value comes back after a loss.
  local registry = counter(call('HGET', META, 'registry')) or 0
  call('HSET', META, 'registry', text(math.max(registry + 1, now_us)))
end
return answer
