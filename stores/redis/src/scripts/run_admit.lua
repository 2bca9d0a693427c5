-- Whether a claim may begin beside what its task has in hand: `ClaimItem::admit` of the contract;
-- stands behind run_record.lua.
--
-- RULE is how records keep overlap and limit; `slot` is sINDEX:TASK, `tick` the claim's own, `runs`
-- what is in hand in its slot. Reads only.
-- Result: nil if it begins; or the answer's letter (q waits, o skipped), what keeps it back as
-- BLOCKER says it, the ticks it replaces, and whether what is in its way is to stop.
local function admit(rule, slot, tick, runs)
  local letter, task = string.sub(rule, 1, 1), string.match(slot, '^s%d+:(.*)$')
  local blocker = letter ~= 'a' and runs and scheduled_in(runs) or nil
  local waiting, newest = {}, nil
  for other in string.gmatch(call('HGET', SLOTS, line_of(slot)) or '', '%S+') do
    waiting[#waiting + 1] = other
    if not newest or tonumber(other) > tonumber(newest) then
      newest = other
    end
  end
  local queues = letter == 'q' or letter == 'Q' or letter == 'x'
  local because, by_requests = blocker, false
  if not because and queues and newest then
    because = newest .. 's'
  end
  local most, indices = limit_of(rule)
  if not because and most then
    local all, scheduled = in_hand_of(task, indices)
    if all >= most then
      because, by_requests = 'limit', scheduled < most
    end
  end
  if not because then
    return nil
  elseif letter == 'Q' then
    if #waiting >= tonumber(string.match(rule, '^Q(%d+)')) then
      return 'o', 'full'
    end
    return 'q', because, {}
  elseif not queues and not by_requests then
    return 'o', because
  elseif newest and tonumber(newest) > tonumber(tick) then
    return 'o', '>' .. newest .. 's'
  end
  return 'q', because, waiting, letter == 'x'
end

-- The scheduled run of a task in hand with the oldest tick: its slot and its mark.
local function oldest_of(task, indices)
  local oldest, place, mark
  for index = 1, indices do
    local slot = 's' .. index .. ':' .. task
    for run in string.gmatch(call('HGET', SLOTS, slot) or '', '%S+') do
      local tick = string.match(run, '^(%-?%d+)s@')
      if tick and (not oldest or tonumber(tick) < oldest) then
        oldest, place, mark = tonumber(tick), slot, tick .. 's'
      end
    end
  end
  return place, mark
end
