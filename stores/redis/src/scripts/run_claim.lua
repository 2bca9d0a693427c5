-- Decides a batch of claims.
-- KEYS[12]: a hash from a task to its generation if it has only one, else to its list; KEYS[13]:
--   CANCELS; KEYS[14]: a hash from "GENERATION TASK" to the definition; KEYS[15]: a hash from a
--   task to the names it went on under, with a NUL between; KEYS[16..]: for each group its bucket
--   and outputs, then for each item the history of its task, then for each of the ticks in `lines`
--   its bucket and outputs.
-- ARGV: holder, state of what is won (r, c), early_ms, epoch if there is none, checked, lines, groups,
--   what the holder saw of the store's memory (sequence, own, losses; 0 if nothing); for each group,
--   earliest ticks first: tick, -tick, place sINDEX, window_ms, keep_ms, items, then of
--   all its items the generations (unless checked), the fields, and the ends of their records from
--   the offset of the fence on. No run is twice in one group.
-- `checked` is "REGISTRY TAG" if all generations were found to be the newest, and listed by this
--   very node, when the registry and the node's tag were these. While they are, that stays true,
--   and the generations need no look.
-- `lines` is nothing if no item can wait, has a limit or an alias. Else it is JSON: `ticks` whose
--   records the items may replace, `hint` the command and channel for hints, `by` for the offset of
--   each item that may ask another to stop its name, and `aliases` for the offset of each item whose
--   task had other names before the fields of the same run under them.
-- Reply: {now_ms, sequence, epoch, 'lapsed'}, or 'behind' if the holder saw more than this server
--   remembers, or another count of losses; {now_ms, sequence, epoch, 'again'} if the generations
--   do need a look; {now_ms, sequence, epoch, 'lines', ticks} if these must be among the ticks of
--   `lines`; or {now_ms, sequence, epoch, fence, codes, details, "REGISTRY TAG"}: a letter
--   an item, and for each letter but w, W, e and l a detail. w won, its fence is the reply's and
--   its own offset, and W if its generation was found as above; t taken: "STATE NODE SINCE", and
--   behind it the name of the task that the record stands under if it is another; m
--   perhaps taken by an earlier sending of this claim: its record; o skipped and q waits, for what
--   BLOCKER says; p paused: the pause; g another generation: the current; e too early; l too late. -tick is a
--   history's score, so that it begins with the newest.
-- One step, because the window, what exists, what is in hand and what is won must not be apart:
-- that is what makes a second claim of one tick impossible.
local meta = call('HMGET', META, 'epoch', 'sequence', 'fence', 'registry', 'losses')
local sequence, fence = counter(meta[2]), counter(meta[3])
if not sequence or not fence or now_us >= LARGEST - 100000 then
  return broken_counters()
end
sequence = sequence + 1
local epoch = meta[1] or ARGV[4]
-- After a loss of the counter the clock keeps fences growing.
fence = math.max(fence + 1, now_us)
local tag = living_tag(ARGV[1])
if not tag then
  call('HSET', META, 'epoch', epoch, 'sequence', text(sequence))
  return { now, text(sequence), epoch, 'lapsed' }
end
local node = string.match(tag, '^%d+')
local own = 'o' .. node
local is_behind = ARGV[8] ~= '0' and (tonumber(ARGV[8]) >= sequence or ARGV[10] ~= (meta[5] or '0')
  or tonumber(ARGV[9]) > (tonumber(call('HGET', META, own) or '') or 0))
if is_behind then
  -- The sequence stays: it must not look afterwards as if this node had been answered.
  return { now, text(sequence - 1), epoch, 'behind' }
end
local seen = (meta[4] or '0') .. ' ' .. tag
local is_checked = ARGV[5] == seen
if ARGV[5] ~= '' and not is_checked then
  return { now, text(sequence - 1), epoch, 'again' }
end
local latest = now + tonumber(ARGV[3])
-- Locals are found faster than globals, and the loop below is the store's busiest.
local ARGV, KEYS, call, unpack = ARGV, KEYS, call, unpack
local find, match, sub, concat = string.find, string.match, string.sub, table.concat
local groups, GENERATIONS, CANCELS = tonumber(ARGV[7]), KEYS[12], KEYS[13]
local DEFINITIONS, RENAMED = KEYS[14], KEYS[15]
local lines = ARGV[6] ~= '' and cjson.decode(ARGV[6])
local some_paused = call('EXISTS', PAUSES) == 1
local some_renamed = call('EXISTS', RENAMED) == 1

local begins = ARGV[2] == 'r' and '=' or '*'
local won_head =
  concat({ ARGV[2], '* * * *', node, text(now), '1 =', begins, text(fence) .. '+' }, ' ')
local skipped_head = 'k = * * * * ' .. text(now) .. ' 0 * * *+'
local waits_head, waits_tail = 'w * ', ' * * * ' .. text(now) .. ' 0 * * *+'
local codes, details, events, made, waits = {}, {}, {}, 0, false

-- What a hash says of the tasks whose fields stand behind `field`. Fields name their tasks at the
-- end; what is usual asks for none, so tasks are not sent besides.
local function of_tasks(hash, place, field, count)
  local tasks = {}
  for item = 1, count do
    tasks[item] = sub(ARGV[field + item], #place + 2)
  end
  return call('HMGET', hash, unpack(tasks))
end

-- The runs in hand of the slots that stand behind `field`, by their place there. Where few are in
-- hand all are read: the server keeps a small hash as a list, and would walk through it once for
-- each of very many fields.
local function in_hand_at(field, count)
  local size = count < 64 and 1000 or call('HLEN', SLOTS)
  if size > 512 then
    return call('HMGET', SLOTS, unpack(ARGV, field + 1, field + count))
  end
  local all, runs, busy = size > 0 and call('HGETALL', SLOTS) or {}, {}, {}
  for at = 1, #all, 2 do
    runs[all[at]] = all[at + 1]
  end
  for item = 1, count do
    busy[item] = runs[ARGV[field + item]]
  end
  return busy
end

-- Where the records of a tick are that an item may replace: bucket and outputs.
local buckets = {}
if lines then
  for place, tick in ipairs(lines.ticks) do
    local key = #KEYS - 2 * (#lines.ticks - place) - 1
    buckets[tick] = { KEYS[key], KEYS[key + 1] }
  end
  local at, missing = 11, {}
  for group = 1, groups do
    local tick, count = ARGV[at], tonumber(ARGV[at + 5])
    local field = at + 5 + (is_checked and 0 or count)
    local tail = field + count
    buckets[tick] = buckets[tick] or { KEYS[14 + 2 * group], KEYS[15 + 2 * group] }
    for item = 1, count do
      local replaces = match(ARGV[tail + item], '^%S+ %S+ %S+ %S+ [^Q]%S+ ')
        or match(ARGV[tail + item], '^%S+ %S+ %S+ %S+ [qx] ')
      local line = replaces and line_of(ARGV[field + item])
      for other in string.gmatch(line and call('HGET', SLOTS, line) or '', '%S+') do
        if not buckets[other] then
          missing[#missing + 1] = other
        end
      end
    end
    at = tail + count + 1
  end
  if #missing > 0 then
    return { now, text(sequence - 1), epoch, 'lines', missing }
  end
end

-- Skips a tick that waits in the line of a slot, in favour of a newer one.
local function replace(slot, tick, newer)
  local bucket, outputs = unpack(buckets[tick])
  local had = call('HMGET', bucket, slot, 'n', 'k')
  local r = had[1] and read_record(had[1])
  leave_line(slot, tick)
  if r and r.state == 'w' then
    call('ZREM', DUE, due_flag(r.overlap) .. tick .. '/' .. slot)
    r.state, r.due, r.ended, r.blocker, r.reason = 'k', '*', text(now), '>' .. newer .. 's', ''
    save(bucket, outputs, tick, had[2], had[3], -1, 0, { slot, write_record(r) })
    events[#events + 1], events[#events + 2] = tick, slot
  end
end

-- Asks the run that is in the way of an item to stop: that of its slot, or else the task's oldest.
local function stop_other(rule, slot, runs, offset)
  local mark, place = runs and scheduled_in(runs), slot
  if not mark then
    local _, indices = limit_of(rule)
    if indices then
      place, mark = oldest_of(match(slot, '^s%d+:(.*)$'), indices)
    end
  end
  local words = mark and cjson.encode({ by = lines.by[offset], why = 'overlap = cancel_other' })
  if words then
    call('HSETNX', CANCELS, place .. '\0' .. mark, words)
  end
end

-- Puts an item into the line of its slot, or leaves it out: its code, a detail, and its record; or
-- nothing if it may begin.
local function line_up(rule, runs, tail, slot, tick)
  local code, because, replaced, stops = admit(rule, slot, tick, runs)
  local kept = code and sub(tail, 1, -2) .. because
  if code == 'q' then
    for _, other in ipairs(replaced) do
      replace(slot, other, tick)
    end
    if stops then
      stop_other(rule, slot, runs, match(tail, '^%d+'))
    end
    waits = true
    local due = text(math.min(tonumber(tick), now))
    local line = call('HGET', SLOTS, line_of(slot))
    call('HSET', SLOTS, line_of(slot), line and line .. ' ' .. tick or tick)
    call('ZADD', DUE, due, due_flag(rule) .. tick .. '/' .. slot)
    return code, because, waits_head .. due .. waits_tail .. kept
  elseif code then
    return code, because, skipped_head .. kept
  end
end

-- What a record says to those who come too late for its run; `field` if it stands under another
-- name of the task.
local function taken(value, field)
  local state, who = match(value, '^(%a) %S+ %S+ %S+ %S+ (%S+ %S+)')
  local under = field and ' ' .. match(field, '^s%d+:(.*)$') or ''
  return 't', state and state .. ' ' .. who .. under or value
end

-- The record of the same run under an earlier name of its task, or one it went on under, and its
-- field.
local function under_others(bucket, tail, slot)
  local fields = lines and lines.aliases[match(tail, '^%d+')]
  for _, field in ipairs(fields or {}) do
    local value = call('HGET', bucket, field)
    if value then
      return value, field
    end
  end
  local place, task = match(slot, '^(s%d+:)(.*)$')
  local names = some_renamed and call('HGET', RENAMED, task)
  for name in string.gmatch(names or '', '%Z+') do
    local value = call('HGET', bucket, place .. name)
    if value then
      return value, place .. name
    end
  end
end

-- Whether the definition in force lets claims under others be.
local function allows_others(generation, slot)
  local name = generation .. ' ' .. match(slot, '^s%d+:(.*)$')
  local is_read, definition = pcall(cjson.decode, call('HGET', DEFINITIONS, name) or '{}')
  return is_read and definition.on_change == 'union'
end

-- Decides an item that is not simply free: its code, a detail, and a record if it makes one.
local function decide(bucket, value, closed, pause, in_force, wanted, runs, tail, slot, tick)
  if value then
    if find(value, match(tail, '^%d+ (%x+)'), 1, true) then
      return 'm', value
    end
    return taken(value)
  end
  local other, field = under_others(bucket, tail, slot)
  if other then
    return taken(other, field)
  elseif closed then
    return closed
  elseif pause and holds(pause) then
    return 'p', pause
  end
  local own = 'W'
  if in_force and find(in_force, ';', 1, true) then
    local newest, tags = match(in_force, '^(%S+)([^;]*)')
    if newest ~= wanted or not find(tags .. ' ', ' ' .. tag .. ' ', 1, true) then
      in_force, own = current(in_force), 'w'
    else
      in_force = newest
    end
  end
  if in_force and in_force ~= wanted then
    if not allows_others(in_force, slot) then
      return 'g', in_force
    end
    own = 'w'
  end
  local rule = match(tail, '^%S+ %S+ %S+ %S+ (%S+)')
  if rule ~= 's' and rule ~= 'a' then
    local code, because, record = line_up(rule, runs, tail, slot, tick)
    if code then
      return code, because, record
    end
  end
  local blocker = rule == 's' and runs and scheduled_in(runs)
  if blocker then
    return 'o', blocker, skipped_head .. sub(tail, 1, -2) .. blocker
  end
  return own, nil, won_head .. tail
end

local at, history, coded, oldest = 11, 15 + 2 * groups, 0, nil
for group = 1, groups do
  local tick, score, place, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 5])
  local window, keep = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local bucket, outputs, generation = KEYS[14 + 2 * group], KEYS[15 + 2 * group], at + 5
  local field = is_checked and generation or generation + count
  local tail = field + count
  at = tail + count + 1
  local closed
  if tonumber(tick) > latest then
    closed = 'e'
  elseif tonumber(tick) < now - window - 2000 then
    closed = 'l'
  end
  local generations = is_checked and {} or of_tasks(GENERATIONS, place, field, count)
  local pauses = some_paused and of_tasks(PAUSES, place, field, count) or {}
  local busy = in_hand_at(field, count)
  local had = call('HMGET', bucket, 'n', 'k', unpack(ARGV, field + 1, field + count))
  local is_open = not closed and not some_paused and not some_renamed and not lines
  local entry, member = tick .. 's@' .. node, tick .. '/' .. place
  local sets, in_hand, s, h, w = {}, {}, 0, 0, 0
  for item = 1, count do
    local runs, rest = busy[item], ARGV[tail + item]
    local code, detail, value = 'W', nil, nil
    if is_checked and is_open and not runs and not had[item + 2] then
      value = won_head .. rest
    else
      local wanted = ARGV[generation + item]
      code, detail, value =
        decide(bucket, had[item + 2], closed, pauses[item], generations[item], wanted, runs, rest,
          ARGV[field + item], tick)
      details[#details + 1] = detail
    end
    codes[coded + item] = code
    if value then
      local name = ARGV[field + item]
      sets[s + 1], sets[s + 2] = name, value
      s = s + 2
      if code == 'q' then
        w = w + 1
      elseif code ~= 'o' then
        in_hand[h + 1], in_hand[h + 2] = name, runs and runs .. ' ' .. entry or entry
        h = h + 2
      end
      call('ZADD', KEYS[history + item], score, member)
    end
  end
  if s > 0 then
    local names
    if s == 2 * count then
      names = concat(ARGV, '\0', field + 1, field + count)
    else
      names = {}
      for name = 1, s, 2 do
        names[#names + 1] = sets[name]
      end
      names = concat(names, '\0')
    end
    events[#events + 1], events[#events + 2] = tick, names
    made = made + s / 2
    save(bucket, outputs, tick, had[1], had[2], h / 2 + w, now + keep, sets)
  end
  if h > 0 then
    call('HSET', SLOTS, unpack(in_hand))
  end
  -- Now and then a history lets go of what is older than everything.
  for item = now % 32 + 1, count, 32 do
    oldest = oldest or call('ZRANGE', TICKS, '0', '0')[1]
    if oldest then
      call('ZREMRANGEBYSCORE', KEYS[history + item], '(' .. text(-tonumber(oldest)), '+inf')
    end
  end
  coded, history = coded + count, history + count
end
if made > 0 then
  count_made(made)
  call('HSET', META, 'epoch', epoch, 'sequence', text(sequence), 'fence', text(fence + coded),
    own, text(sequence))
  tell(events, made > 16)
  if waits then
    -- One may be asked to stop, or what it waits for may be gone.
    hint(unpack(lines.hint))
  end
else
  call('HSET', META, 'epoch', epoch, 'sequence', text(sequence), own, text(sequence))
end
return { now, text(sequence), epoch, text(fence), concat(codes), details, seen }
