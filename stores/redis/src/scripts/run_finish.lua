-- Ends attempts.
-- KEYS[12]: what of this request was told already; KEYS[13]: CANCELS; KEYS[14..]: for each group:
--   bucket, outputs.
-- ARGV: command and channel for hints, groups; for each group: tick, items; for each of its items:
--   field, slot and mark with a NUL between (nothing for a scheduled run: the slot is called as the
--   field, the mark is TICKs), attempt, token, how ("STATE EXIT KEEPS": its letter, and 1 if a
--   reason that is already there stays if there is none now, because it may be who asked), reason (a
--   JSON string, or nothing), again_ms (nothing: no other attempt), output (+TEXT, or nothing). No
--   run is twice in one group.
-- Reply: {codes, details}: a letter a run, and for each l a detail. d the outcome stands; l too
--   late: "STATE ATTEMPT"; u there is no such run; b its record is broken.
-- One step a run, because an attempt that is no longer the one in hand must change nothing.
local ARGV, call = ARGV, call
local match, find, sub, concat = string.match, string.find, string.sub, table.concat
local codes, details, events, late = {}, {}, {}, {}
local ended, coded = 0, 0
local CANCELS = KEYS[13]
local some_cancelled = call('EXISTS', CANCELS) == 1

-- Whether an earlier attempt was ended by this very report.
local function was_ended(r, attempt, token)
  return find(r.earlier, '\n' .. attempt .. ' %a %S+ %S+ %S+ ' .. token .. ' ') ~= nil
end

-- Writes down how an attempt ended: its record, whether the run is over, and its node. One that is
-- asked to stop does not begin again.
local function finish(r, tick, outputs, field, how, reason, again, output, asked)
  local state, exit, keeps = match(how, '^(%a) (%S+) (%d)$')
  r.exit = exit
  if output ~= '' then
    call('HSET', outputs, field, sub(output, 2))
    r.out = 'o'
  elseif r.out == 'o' then
    call('HDEL', outputs, field)
    r.out = '*'
  end
  if again ~= '' and asked then
    state, again, reason = 'x', '', cancel_reason(asked)
  end
  if again == '' then
    r.state, r.ended = state, text(now)
  else
    wait_again(r, state, r.token, reason, now + tonumber(again), tick .. '/' .. field)
  end
  if reason ~= '' or r.asked ~= '' or keeps ~= '1' then
    r.reason = reason
  end
  return write_record(r), again == '', r.node
end

-- Of most runs: a first attempt, with no reason so far and no output.
local PLAIN = '^[cr] %S+ %S+ %S+ %* (%S+) (%S+ (%d+) %S+ %S+ %S+ (%S+) [^\n]*)$'
local heads = setmetatable({}, { __index = function(heads, how)
  local state, exit = match(how, '^(%a) (%S+)')
  heads[how] = concat({ state, text(now), '*', exit, '* ' }, ' ')
  return heads[how]
end })

-- Ends one attempt: its code, its record if that changed, whether the run is over, its node.
local function decide(value, a, tick, outputs, asked)
  local attempt, token, how, reason = ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5]
  if ARGV[a + 6] == '' and ARGV[a + 7] == '' then
    local node, rest, own_attempt, own_token = match(value, PLAIN)
    if own_token == token and own_attempt == attempt then
      local record = heads[how] .. node .. ' ' .. rest
      return 'd', reason == '' and record or record .. '\n' .. reason, true, node
    end
  end
  local r = read_record(value)
  if not r then
    return 'b'
  elseif r.attempt == attempt and r.token == token then
    if r.state == 'c' or r.state == 'r' then
      local again, output = ARGV[a + 6], ARGV[a + 7]
      return 'd', finish(r, tick, outputs, ARGV[a], how, reason, again, output, asked)
    end
    return 'd'
  elseif was_ended(r, attempt, token) then
    return 'd'
  end
  details[#details + 1] = r.state .. ' ' .. r.attempt
  local node = r.attempt == attempt and r.node or '*'
  local run = tick .. '/' .. ARGV[a]
  late[#late + 1], late[#late + 2] = 'late', concat({ attempt, r.state, r.attempt, node, run }, ' ')
  return 'l'
end

local at = 4
for group = 1, tonumber(ARGV[3]) do
  local bucket, outputs = KEYS[12 + 2 * group], KEYS[13 + 2 * group]
  local tick, count = ARGV[at], tonumber(ARGV[at + 1])
  local first, scheduled = at + 2, ARGV[at] .. 's@'
  at = first + 8 * count
  local fields, slots, marks = {}, {}, {}
  for item = 1, count do
    local a = first + 8 * item - 8
    fields[item], slots[item] = ARGV[a], ARGV[a]
    if ARGV[a + 1] ~= '' then
      slots[item], marks[item] = match(ARGV[a + 1], '^(%Z*)%z(.*)$')
    end
  end
  local runs = call('HMGET', SLOTS, unpack(slots))
  local had = call('HMGET', bucket, 'n', 'k', unpack(fields))
  local sets, names, free, s, over = {}, {}, {}, 0, 0
  for item = 1, count do
    local value, code, record, is_over, node = had[item + 2], 'u', nil, nil, nil
    local request = some_cancelled and slots[item] .. '\0' .. (marks[item] or tick .. 's')
    local asked = request and call('HGET', CANCELS, request)
    if value then
      code, record, is_over, node = decide(value, first + 8 * item - 8, tick, outputs, asked)
    end
    if record and asked then
      call('HDEL', CANCELS, request)
    end
    coded = coded + 1
    codes[coded] = code
    if record then
      local entry = (marks[item] and marks[item] .. '@' or scheduled) .. node
      if runs[item] == entry then
        free[#free + 1] = slots[item]
      else
        vacate(slots[item], entry)
      end
      over = is_over and over + 1 or over
      sets[s + 1], sets[s + 2] = fields[item], record
      s = s + 2
      names[s / 2] = fields[item]
    end
  end
  if s > 0 then
    ended = ended + s / 2
    events[#events + 1], events[#events + 2] = tick, concat(names, '\0')
    save(bucket, outputs, tick, had[1], had[2], -over, 0, sets)
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
return { concat(codes), details }
