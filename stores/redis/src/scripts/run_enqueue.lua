-- Puts runs into the store, to be taken when they are due.
-- KEYS[12..]: for each run: bucket, outputs, history of its task.
-- ARGV: command and channel for hints; for each run: tick, -tick, field, place (the field without
--   its task), field of the scheduled run if only a missing tick is wanted (else nothing),
--   due_in_ms, token, crash, overlap, what it is asked with (a JSON string,
--   or nothing)
-- Reply: a letter or two a run: w it waits; xS it was there, in state S; nS the tick was not
--   missing, its run being in state S.
-- One step a run, because a run must be put in once, and only if its tick is missing.
local answer, events, made = {}, {}, 0
for item = 1, (#KEYS - 11) / 3 do
  local k, a = 3 * item + 9, 10 * item - 7
  local bucket, tick, field, token = KEYS[k], ARGV[a], ARGV[a + 2], ARGV[a + 6]
  local scheduled = ARGV[a + 4]
  local had = call('HMGET', bucket, field, 'n', 'k', scheduled)
  local value = had[1]
  local state = string.sub(had[4] or '*', 1, 1)
  if value then
    local r = read_record(value)
    if r and r.state == 'w' and r.token == token then
      answer[item] = 'w'
    else
      answer[item] = 'x' .. string.sub(value, 1, 1)
    end
  elseif scheduled ~= '' and string.find('wcrs', state, 1, true) then
    answer[item] = 'n' .. state
  else
    local r = {
      state = 'w', ended = '*', due = text(now + tonumber(ARGV[a + 5])), exit = '*', out = '*',
      node = '*', since = text(now), attempt = '0', claimed = '*', started = '*', fence = '*',
      token = token, generation = '*', crash = ARGV[a + 7], overlap = ARGV[a + 8], blocker = '*',
      reason = '', asked = ARGV[a + 9], earlier = '',
    }
    save(bucket, KEYS[k + 1], tick, had[2], had[3], 1, now, { field, write_record(r) })
    call('ZADD', DUE, r.due, due_flag(r.overlap) .. tick .. '/' .. field)
    call('ZADD', KEYS[k + 2], ARGV[a + 1], tick .. '/' .. ARGV[a + 3])
    events[#events + 1], events[#events + 2] = tick, field
    made = made + 1
    answer[item] = 'w'
  end
end
if made > 0 then
  count_made(made)
  tell(events)
  hint(ARGV[1], ARGV[2])
end
return answer
