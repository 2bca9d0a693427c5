-- Says that claimed runs begin.
-- KEYS[12..]: the bucket of each run.
-- ARGV: for each run: tick, field, attempt, token
-- Reply: {now_ms, codes}: a letter a run: r it runs, n not this attempt's any more, b its record is
--   broken.
-- One step a run, because the attempt must still be the one in hand when it begins.
local codes, events = {}, {}
for item = 1, #KEYS - 11 do
  local a = 4 * item - 3
  local bucket, field, code = KEYS[11 + item], ARGV[a + 1], 'n'
  local value = call('HGET', bucket, field)
  local r = value and read_record(value)
  if value and not r then
    code = 'b'
  elseif r and r.attempt == ARGV[a + 2] and r.token == ARGV[a + 3] then
    if r.state == 'c' then
      r.state, r.started = 'r', text(now)
      call('HSET', bucket, field, write_record(r))
      events[#events + 1], events[#events + 2] = ARGV[a], field
    end
    code = r.state == 'r' and 'r' or 'n'
  end
  codes[item] = code
end
tell(events)
return { now, table.concat(codes) }
