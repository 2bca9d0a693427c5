-- Pauses a task, or lets it run again, and tells the feed.
-- KEYS[12]: what this request answered already.
-- ARGV: task, pause (nothing: resume), note (JSON), command and channel for hints
-- Reply: 1 if the task was paused before, else 0
-- One step, so that of two who resume one is told that it was paused.
local task = ARGV[1]
local before = call('HGET', PAUSES, task)
local was_paused = before and holds(before) and '1' or '0'
local answered = call('GET', KEYS[12])
if answered then
  return tonumber(answered)
end
if ARGV[2] ~= '' then
  call('HSET', PAUSES, task, ARGV[2])
else
  call('HDEL', PAUSES, task)
end
call('SET', KEYS[12], was_paused, 'PX', '60000')
if ARGV[2] ~= '' or was_paused == '1' then
  tell({ 'note', ARGV[3] })
end
hint(ARGV[4], ARGV[5])
return tonumber(was_paused)
