-- Ends attempts.
-- KEYS[12]: what of this request was told already; KEYS[13..]: for each group: bucket, outputs.
-- ARGV: command and channel for hints, groups; for each group: tick, items; for each of its items: field, slot, mark,
--   attempt, token, state (a letter), again_ms (*: no other attempt), exit, reason (a JSON string, or nothing), keeps (1: a
--   reason that is already there stays if there is none now), output (+TEXT, or *). No run is twice in one group.
-- Reply: {codes, details}: a letter a run, and for each l a detail. d the outcome stands; l too late: "STATE ATTEMPT"; u
--   there is no such run; b its record is broken.
-- One step a run, because an attempt that is no longer the one in hand must change nothing.
local codes, details, events, late = {}, {}, {}, {}
local ended = 0

-- Whether an earlier attempt was ended by this very report.
local function was_ended(r, attempt, token)
  return string.find(r.earlier, '\n' .. attempt .. ' %a %S+ %S+ %S+ ' .. token .. ' ') ~= nil
end

-- Writes down how an attempt ended. True if its run is over.
local function finish(r, a, tick, outputs)
  local field, again, reason = ARGV[a], ARGV[a + 6], ARGV[a + 8]
  r.exit = ARGV[a + 7]
  local output = ARGV[a + 10]
  if output ~= '*' then
    call('HSET', outputs, field, string.sub(output, 2))
    r.out = 'o'
  elseif r.out == 'o' then
    call('HDEL', outputs, field)
    r.out = '*'
  end
  if again == '*' then
    r.state, r.ended = ARGV[a + 5], text(now)
  else
    wait_again(r, ARGV[a + 5], r.token, reason, now + tonumber(again), tick .. '/' .. field)
  end
  if reason ~= '' or ARGV[a + 9] ~= '1' then
    r.reason = reason
  end
  return again == '*'
end

local at = 4
for group = 1, tonumber(ARGV[3]) do
  local bucket, outputs = KEYS[11 + 2 * group], KEYS[12 + 2 * group]
  local tick, count = ARGV[at], tonumber(ARGV[at + 1])
  local first = at + 2
  at = first + 11 * count
  local fields, slots = {}, {}
  for item = 1, count do
    local a = first + 11 * (item - 1)
    fields[item], slots[item] = ARGV[a], ARGV[a + 1]
  end
  local runs = call('HMGET', SLOTS, unpack(slots))
  fields[count + 1], fields[count + 2] = 'n', 'k'
  local had = call('HMGET', bucket, unpack(fields))
  local sets, names, free, over = {}, {}, {}, 0
  for item = 1, count do
    local a = first + 11 * (item - 1)
    local value, code = had[item], nil
    local r = value and read_record(value)
    if not r then
      code = value and 'b' or 'u'
    elseif r.attempt == ARGV[a + 3] and r.token == ARGV[a + 4] then
      code = 'd'
      if r.state == 'c' or r.state == 'r' then
        local entry = ARGV[a + 2] .. '@' .. r.node
        if runs[item] == entry then
          free[#free + 1] = slots[item]
        else
          vacate(slots[item], entry)
        end
        if finish(r, a, tick, outputs) then
          over = over + 1
        end
        ended = ended + 1
        sets[#sets + 1], sets[#sets + 2] = ARGV[a], write_record(r)
        names[#names + 1] = ARGV[a]
      end
    elseif was_ended(r, ARGV[a + 3], ARGV[a + 4]) then
      code = 'd'
    else
      code, details[#details + 1] = 'l', r.state .. ' ' .. r.attempt
      local node = r.attempt == ARGV[a + 3] and r.node or '*'
      late[#late + 1] = 'late'
      late[#late + 1] = table.concat({ ARGV[a + 3], r.state, r.attempt, node, tick .. '/' .. ARGV[a] }, ' ')
    end
    codes[#codes + 1] = code
  end
  if #names > 0 then
    events[#events + 1], events[#events + 2] = tick, table.concat(names, '\0')
    save(bucket, outputs, tick, had[count + 1], had[count + 2], -over, 0, sets)
  end
  if #free > 0 then
    call('HDEL', SLOTS, unpack(free))
  end
end
tell(events, ended > 16)
if #late > 0 and call('SET', KEYS[12], '1', 'NX', 'PX', '60000') then
  tell(late)
end
if ended > 0 then
  sweep()
  -- What ended may have stood in the way of what waits.
  if #call('ZRANGEBYSCORE', DUE, '-inf', text(now), 'LIMIT', '0', '1') > 0 then
    hint(ARGV[1], ARGV[2])
  end
end
return { table.concat(codes), details }
