-- Records ticks that nobody will run.
-- KEYS[12..]: for each run: bucket, outputs, history of its task.
-- ARGV: for each run: tick, -tick, field, place (the field without its task), state (a letter),
--   keep_ms, token, reason (a JSON string)
-- Reply: for each run 1 if this request made the record, else 0.
-- One step a run, because a tick that is claimed at this moment must not be passed over.
local answer, events, made = {}, {}, 0
for item = 1, (#KEYS - 11) / 3 do
  local k, a = 3 * item + 9, 8 * item - 7
  local bucket, tick, field, token = KEYS[k], ARGV[a], ARGV[a + 2], ARGV[a + 6]
  local had = call('HMGET', bucket, field, 'n', 'k')
  if had[1] then
    local r = read_record(had[1])
    answer[item] = r and r.token == token and 1 or 0
  else
    local r = {
      state = ARGV[a + 4], ended = '=', due = '*', exit = '*', out = '*', node = '*',
      since = text(now), attempt = '0', claimed = '*', started = '*', fence = '*', token = token,
      generation = '*', crash = 'l', overlap = 's', blocker = '*', reason = ARGV[a + 7], asked = '',
      earlier = '',
    }
    local keep = now + tonumber(ARGV[a + 5])
    save(bucket, KEYS[k + 1], tick, had[2], had[3], 0, keep, { field, write_record(r) })
    call('ZADD', KEYS[k + 2], ARGV[a + 1], tick .. '/' .. ARGV[a + 3])
    events[#events + 1], events[#events + 2] = tick, field
    made = made + 1
    answer[item] = 1
  end
end
if made > 0 then
  count_made(made)
  tell(events)
  sweep()
end
return answer
