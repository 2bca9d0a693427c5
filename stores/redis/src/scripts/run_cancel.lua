-- Asks a run to stop.
-- KEYS[12]: what this request answered already; KEYS[13]: CANCELS; KEYS[14], KEYS[15]: the run's
--   bucket and outputs.
-- ARGV: command and channel for hints, tick, field, kind, slot, mark, request (JSON: by, why),
--   reason (a JSON string), note (JSON)
-- Reply: a its node is asked; c it waited and is cancelled; oS it is over, in state S; u there is no
--   such run; b its record is broken.
-- One step, because a run that is taken or ends at this moment is either asked or not.
local CANCELS, bucket = KEYS[13], KEYS[14]
local tick, field, kind, slot, mark = unpack(ARGV, 3, 7)
local before = call('GET', KEYS[12])
if before then
  return before
end
local had = call('HMGET', bucket, field, 'n', 'k')
if not had[1] then
  return 'u'
end
local r = read_record(had[1])
if not r then
  return 'b'
end
local answer, is_news = 'a', true
if r.state == 'w' then
  call('ZREM', DUE, due_flag(r.overlap) .. tick .. '/' .. field)
  if kind == 's' and r.attempt == '0' then
    leave_line(slot, tick)
  end
  r.state, r.ended, r.due, r.blocker, r.reason = 'x', text(now), '*', '*', ARGV[9]
  save(bucket, KEYS[15], tick, had[2], had[3], -1, 0, { field, write_record(r) })
  tell({ tick, field })
  answer = 'c'
elseif r.state == 'c' or r.state == 'r' then
  is_news = call('HSETNX', CANCELS, slot .. '\0' .. mark, ARGV[8]) == 1
else
  return 'o' .. r.state
end
call('SET', KEYS[12], answer, 'PX', '60000')
if is_news then
  tell({ 'note', ARGV[10] })
end
hint(ARGV[1], ARGV[2])
return answer
