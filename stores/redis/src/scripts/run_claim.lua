-- Decides a batch of claims.
-- KEYS[12]: a hash from a task to its generation if it has only one, else to its list; KEYS[13..]:
--   for each group its bucket and outputs, then for each item the history of its task.
-- ARGV: holder, state of what is won (r, c), early_ms, epoch if there is none, checked, groups, what
--   the holder saw of the store's memory (sequence, own, losses; 0 if nothing); for each group, earliest ticks first: tick, -tick, place sINDEX, window_ms, keep_ms, items, then of
--   all its items the tasks, the generations (unless checked), the fields, and the ends of their
--   records from the offset of the fence on. No run is twice in one group.
-- `checked` is "REGISTRY TAG" if all generations were found to be the newest, and listed by this
--   very node, when the registry and the node's tag were these. While they are, that stays true,
--   and the generations need no look.
-- Reply: {now_ms, sequence, epoch, 'lapsed'}, or 'behind' if the holder saw more than this server
--   remembers, or another count of losses; {now_ms, sequence, epoch, 'again'} if the generations
--   do need a look; or {now_ms, sequence, epoch, fence, codes, details, "REGISTRY TAG"}: a letter
--   an item, and for each letter but w, W, e and l a detail. w won, its fence is the reply's and
--   its own offset, and W if its generation was found as above; t taken: "STATE NODE SINCE"; m
--   perhaps taken by an earlier sending of this claim: its record; o overlap: the blocker's mark; p
--   paused: the pause; g another generation: the current; e too early; l too late. -tick is a
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
local is_behind = ARGV[7] ~= '0' and (tonumber(ARGV[7]) >= sequence or ARGV[9] ~= (meta[5] or '0')
  or tonumber(ARGV[8]) > (tonumber(call('HGET', META, own) or '') or 0))
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
local groups, GENERATIONS = tonumber(ARGV[6]), KEYS[12]
local some_paused = call('EXISTS', PAUSES) == 1

local begins = ARGV[2] == 'r' and '=' or '*'
local won_head =
  concat({ ARGV[2], '* * * *', node, text(now), '1 =', begins, text(fence) .. '+' }, ' ')
local skipped_head = 'k = * * * * ' .. text(now) .. ' 0 * * *+'
local codes, details, events, made = {}, {}, {}, 0

-- Decides an item that is not simply free: its code, a detail, and a record if it makes one.
local function decide(value, closed, pause, in_force, wanted, runs, tail)
  if value then
    if find(value, match(tail, '^%d+ (%x+)'), 1, true) then
      return 'm', value
    end
    local state, who = match(value, '^(%a) %S+ %S+ %S+ %S+ (%S+ %S+)')
    return 't', state and state .. ' ' .. who or value
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
    return 'g', in_force
  end
  local blocker = runs and match(tail, '^%S+ %S+ %S+ %S+ s') and scheduled_in(runs)
  if blocker then
    return 'o', blocker, skipped_head .. sub(tail, 1, -2) .. blocker
  end
  return own, nil, won_head .. tail
end

local at, history, coded, oldest = 10, 12 + 2 * groups, 0, nil
for group = 1, groups do
  local tick, score, place, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 5])
  local window, keep = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local bucket, outputs, task = KEYS[11 + 2 * group], KEYS[12 + 2 * group], at + 5
  local generation = is_checked and task or task + count
  local field, tail = generation + count, generation + 2 * count
  at = tail + count + 1
  local closed
  if tonumber(tick) > latest then
    closed = 'e'
  elseif tonumber(tick) < now - window - 2000 then
    closed = 'l'
  end
  local generations = not is_checked
    and call('HMGET', GENERATIONS, unpack(ARGV, task + 1, task + count)) or {}
  local pauses = some_paused and call('HMGET', PAUSES, unpack(ARGV, task + 1, task + count)) or {}
  local busy = call('HMGET', SLOTS, unpack(ARGV, field + 1, field + count))
  local had = call('HMGET', bucket, 'n', 'k', unpack(ARGV, field + 1, field + count))
  local is_open = not closed and not some_paused
  local entry, member = tick .. 's@' .. node, tick .. '/' .. place
  local sets, in_hand, s, h = {}, {}, 0, 0
  for item = 1, count do
    local runs, rest = busy[item], ARGV[tail + item]
    local code, detail, value = 'W', nil, nil
    if is_checked and is_open and not runs and not had[item + 2] then
      value = won_head .. rest
    else
      local wanted = ARGV[generation + item]
      code, detail, value =
        decide(had[item + 2], closed, pauses[item], generations[item], wanted, runs, rest)
      details[#details + 1] = detail
    end
    codes[coded + item] = code
    if value then
      local name = ARGV[field + item]
      sets[s + 1], sets[s + 2] = name, value
      s = s + 2
      if code ~= 'o' then
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
    save(bucket, outputs, tick, had[1], had[2], h / 2, now + keep, sets)
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
else
  call('HSET', META, 'epoch', epoch, 'sequence', text(sequence), own, text(sequence))
end
return { now, text(sequence), epoch, text(fence), concat(codes), details, seen }
