-- Lists tasks for a node, each in one definition.
-- KEYS[12]: a hash from a task to when it was first registered; KEYS[13]: a hash from "GENERATION
--   TASK" to the definition; KEYS[14]: a hash from a task to its generation if it has only one,
--   else to its list; KEYS[15..]: the history of each task.
--   The last key: a hash from a task to the names it went on under, latest first, with a NUL between
-- ARGV: holder; for each definition: task, generation, definition (JSON)
-- The definition (JSON) may hold `number`: of two definitions the one with the higher is newer; and
--   `aliases`, names the task had before: a task that is new begins with what is known of the first.
-- Reply: {'unknown'} if the node never beat, else {now_ms, sequence, first_ms, generation in force, pause or
--   nothing, latest scheduled run in the history or nothing, …}
-- One step, because which generation is the newest must be decided in one order for all.
local FIRST, DEFINITIONS, GENERATIONS = KEYS[12], KEYS[13], KEYS[14]
local RENAMED = KEYS[#KEYS]
local tag = call('HGET', IDS, ARGV[1])
if not tag then
  return { 'unknown' }
end
local own, is_listed = string.match(tag, '^%d+') or '', is_alive(tag)
local MOST_GENERATIONS = 16
-- A list that is longer holds nodes that are gone.
local LONG = 100 + 20 * call('ZCARD', ALIVE)

-- The number of a definition.
local function number_of(text)
  local is_read, definition = pcall(cjson.decode, text or '{}')
  return is_read and tonumber(definition.number) or 0
end

-- Where a new generation stands among those of a task, newest first.
local function place_among(names, task, text)
  local number = number_of(text)
  for place, name in ipairs(names) do
    if number_of(call('HGET', DEFINITIONS, name .. ' ' .. task)) <= number then
      return place
    end
  end
  return #names + 1
end

-- A definition that is new. One that ends its task is newer than all that there are, so without a
-- number of its own it takes the highest.
local function numbered(task, list, text)
  local is_read, definition = pcall(cjson.decode, text)
  local name = string.match(list or '', '^[^ ;]+')
  if not is_read or not definition.ended or definition.number or not name then
    return text
  end
  local number = number_of(call('HGET', DEFINITIONS, name .. ' ' .. task))
  return number > 0 and '{"number":' .. number .. ',' .. string.sub(text, 2) or text
end

-- When the first alias that is known was first registered, and its pause.
local function inherited(text)
  local is_read, definition = pcall(cjson.decode, text)
  for _, alias in ipairs(is_read and definition.aliases or {}) do
    local first = call('HGET', FIRST, alias)
    if first then
      return first, call('HGET', PAUSES, alias)
    end
  end
end

-- Notes that a task goes on under another name, so that no run of it is made again when it comes
-- back.
local function note_renamed(task, text)
  local is_read, definition = pcall(cjson.decode, text)
  local to = is_read and type(definition.ended) == 'table' and definition.ended.renamed
  if type(to) == 'string' then
    local names = { to }
    for name in string.gmatch(call('HGET', RENAMED, task) or '', '%Z+') do
      if name ~= to and #names < MOST_GENERATIONS then
        names[#names + 1] = name
      end
    end
    call('HSET', RENAMED, task, table.concat(names, '\0'))
  end
end

-- The list with the node under `generation` and nowhere else, without those that are dead; whether
-- the generation is new; generations that it forgot; and whether the node left the newest.
local function listed(list, generation, task, definition)
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
    local place = place_among(names, task, numbered(task, list, definition))
    table.insert(names, place, generation)
    table.insert(parts, place, generation .. ' ' .. (is_listed and tag or ''))
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
for item = 1, #KEYS - 15 do
  local a = 3 * item - 1
  local task, generation = ARGV[a], ARGV[a + 1]
  local before = call('HGET', LISTS, task)
  local definition = ARGV[a + 2]
  local list, is_new, forgotten, has_left = listed(before, generation, task, definition)
  is_changed = is_changed or is_new or has_left
  if list ~= before then
    call('HSET', LISTS, task, list)
    call('HSET', GENERATIONS, task, string.find(list, ';', 1, true) and list or generation)
  end
  if is_new then
    call('HSET', DEFINITIONS, generation .. ' ' .. task, numbered(task, before, definition))
    if not call('HGET', FIRST, task) then
      local first, pause = inherited(definition)
      call('HSET', FIRST, task, first or text(now))
      if pause and holds(pause) then
        call('HSETNX', PAUSES, task, pause)
      end
    end
    note_renamed(task, definition)
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
