-- Decides a batch of claims.
-- KEYS[12]: a hash from a task to its generation if it has only one, else to its list; KEYS[13..]: a bucket for each
--   group, then a history for each item.
-- ARGV: holder, state of what is won (r, c), early_ms, epoch if there is none, groups; for each group, earliest ticks first:
--   tick, -tick, place sINDEX, window_ms, keep_ms, items, then of all its items the tasks, the generations, the fields, and
--   the ends of their records from the offset of the fence on. No run is twice in one group.
-- Reply: {now_ms, sequence, epoch, 'lapsed'}, or {now_ms, sequence, epoch, fence, codes, details}: a letter an item,
--   and for each letter but w, e and l a detail. w won, its fence is the reply's and its own offset; t taken: "STATE NODE
--   SINCE"; m perhaps taken by an earlier sending of this claim: its record; o overlap: the blocker's mark; p paused: the
--   pause; g another generation: the current; e too early; l too late. -tick is a history's score, so that it begins with
--   the newest.
-- One step, because the window, what exists, what is in hand and what is won must not be apart: that is what makes a
-- second claim of one tick impossible.
local meta = call('HMGET', META, 'epoch', 'sequence', 'fence')
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
local latest = now + tonumber(ARGV[3])
-- Locals are found faster than globals, and the loop below is the store's busiest.
local ARGV, KEYS, call, unpack = ARGV, KEYS, call, unpack
local find, match, sub, concat = string.find, string.match, string.sub, table.concat
local groups, GENERATIONS = tonumber(ARGV[5]), KEYS[12]
local some_paused = call('EXISTS', PAUSES) == 1

-- What refuses a task whose only generation is not the claim's: the generation in force, if that is another.
local function other_in_force(list, wanted)
  if not find(list, ';', 1, true) then
    return list
  end
  local in_force = current(list)
  return in_force ~= wanted and in_force
end

local won_head = concat({ ARGV[2], '* * * *', node, text(now), '1 =', ARGV[2] == 'r' and '=' or '*', text(fence) .. '+' }, ' ')
local skipped_head = 'k = * * * * ' .. text(now) .. ' 0 * * *+'
local codes, details, events, coded, made = {}, {}, {}, 0, 0
local at, history, oldest = 6, 12 + groups, nil
for group = 1, groups do
  local tick, score, place, count = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 5])
  local window, keep = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local bucket, task = KEYS[12 + group], at + 5
  local generation, field, tail = task + count, task + 2 * count, task + 3 * count
  at = tail + count + 1
  local closed
  if tonumber(tick) > latest then
    closed = 'e'
  elseif tonumber(tick) < now - window - 2000 then
    closed = 'l'
  end
  local generations = call('HMGET', GENERATIONS, unpack(ARGV, task + 1, task + count))
  local pauses = some_paused and call('HMGET', PAUSES, unpack(ARGV, task + 1, task + count))
  local busy = call('HMGET', SLOTS, unpack(ARGV, field + 1, field + count))
  local had = call('HMGET', bucket, 'n', 'k', unpack(ARGV, field + 1, field + count))
  local entry, member = tick .. 's@' .. node, tick .. '/' .. place
  local sets, in_hand, s, h = {}, {}, 0, 0
  for item = 1, count do
    local value, in_force, wanted = had[item + 2], generations[item], ARGV[generation + item]
    local code, detail = 'w', nil
    if value then
      if find(value, match(ARGV[tail + item], '^%d+ (%x+)'), 1, true) then
        code, detail = 'm', value
      else
        local state, who = match(value, '^(%a) %S+ %S+ %S+ %S+ (%S+ %S+)')
        code, detail = 't', state and state .. ' ' .. who or value
      end
    elseif closed then
      code = closed
    elseif pauses and pauses[item] and holds(pauses[item]) then
      code, detail = 'p', pauses[item]
    elseif in_force and in_force ~= wanted and other_in_force(in_force, wanted) then
      code, detail = 'g', other_in_force(in_force, wanted)
    else
      local runs, rest, name = busy[item], ARGV[tail + item], ARGV[field + item]
      local blocker = runs and match(rest, '^%S+ %S+ %S+ %S+ s') and scheduled_in(runs)
      if blocker then
        code, detail = 'o', blocker
        value = skipped_head .. sub(rest, 1, -2) .. blocker
      else
        value = won_head .. rest
        in_hand[h + 1], in_hand[h + 2] = name, runs and runs .. ' ' .. entry or entry
        h = h + 2
      end
      sets[s + 1], sets[s + 2] = name, value
      s = s + 2
      call('ZADD', KEYS[history + item], score, member)
    end
    codes[coded + item] = code
    if detail then
      details[#details + 1] = detail
    end
  end
  if s > 0 then
    local names = {}
    for name = 1, s, 2 do
      names[(name + 1) / 2] = sets[name]
    end
    events[#events + 1], events[#events + 2] = tick, concat(names, '\0')
    made = made + s / 2
    save(bucket, bucket, tick, had[1], had[2], h / 2, now + keep, sets)
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
  call('HSET', META, 'epoch', epoch, 'sequence', text(sequence), 'fence', text(fence + coded))
  tell(events, made > 16)
else
  call('HSET', META, 'epoch', epoch, 'sequence', text(sequence))
end
return { now, text(sequence), epoch, text(fence), concat(codes), details }
