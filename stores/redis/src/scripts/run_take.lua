-- Takes waiting runs: the second half of a take.
-- KEYS[12]: what this request took already; KEYS[13..]: the bucket of each run.
-- ARGV: holder, token, state of what is taken (r, c), the tasks with little room, as run_taker.lua
--   says; for each run: member of DUE, tick, field, kind, slot, task, mark
-- Reply: {number, record, number, record, …}. A broken record is left as it is, and looked at again
--   in a minute. If this script took them at an earlier sending of the request, there are none, and
--   the first half names them.
-- One step, because a run must go to one node only and must not begin beside its like.
local fence = counter(call('HGET', META, 'fence'))
if not fence or now_us >= LARGEST - 100000 then
  return broken_counters()
end
fence = math.max(fence + 1, now_us)
local tag = living_tag(ARGV[1])
if not tag then
  return {}
end
local node = string.match(tag, '^%d+')
local taker, first = take_as(ARGV[1], 4, true), 5 + 2 * tonumber(ARGV[4])
local answer, events, members = {}, {}, {}
for item = 1, #KEYS - 12 do
  local a = first + 7 * (item - 1)
  local member, tick, field, kind, slot, task = unpack(ARGV, a, a + 5)
  local bucket, entry = KEYS[12 + item], ARGV[a + 6] .. '@' .. node
  local due = call('ZSCORE', DUE, member)
  local value = due and tonumber(due) <= now and call('HGET', bucket, field)
  local r = value and read_record(value)
  if due and tonumber(due) <= now and (not value or (r and r.state ~= 'w')) then
    -- Nothing waits under this name.
    call('ZREM', DUE, member)
  elseif value and not r then
    call('ZADD', DUE, text(now + 60000), member)
  elseif r then
    local flag, limit = read_member(member)
    local generation, runs = taker(flag, limit, kind, slot, task, entry)
    if generation then
      if kind == 's' and r.attempt == '0' then
        leave_line(slot, tick)
      end
      if r.blocker ~= '*' then
        -- Nothing keeps it back any more.
        r.blocker, r.reason = '*', ''
      end
      r.state, r.node, r.attempt, r.token = ARGV[3], node, text(r.attempt + 1), ARGV[2]
      r.generation = generation
      r.claimed, r.started = text(now), ARGV[3] == 'r' and text(now) or '*'
      r.ended, r.due, r.fence = '*', '*', text(fence) .. '+' .. text(item)
      local written = write_record(r)
      call('HSET', bucket, field, written)
      call('HSET', SLOTS, slot, runs and runs .. ' ' .. entry or entry)
      call('ZREM', DUE, member)
      events[#events + 1], events[#events + 2] = tick, field
      members[#members + 1] = member
      answer[#answer + 1], answer[#answer + 2] = item, written
    end
  end
end
if #members > 0 then
  call('HSET', META, 'fence', text(fence + #KEYS))
  call('RPUSH', KEYS[12], unpack(members))
  call('PEXPIRE', KEYS[12], '3600000')
  tell(events)
end
return answer
