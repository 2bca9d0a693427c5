-- Which waiting runs a node may take; stands behind run_record.lua and run_task.lua.

-- Takes a member of DUE apart: its flag, its limit if it has one, and the rest.
local function read_member(member)
  local flag, limit, rest = string.match(member, '^(%a)(%+%d+/%d+) (.*)$')
  if not flag then
    flag, rest = string.match(member, '^(%a)(.*)$')
  end
  return flag, limit, rest or ''
end

-- Tells of runs, one after the other, whether the node may take them: its tag lists the generation
-- in force, the task is not paused, and nothing stands in the way. A scheduled run minds scheduled
-- ones only, so that a requested run never costs a tick; a requested run minds any. A run that may
-- be taken stands in the way of those asked about later, and counts for the limit. What is answered
-- for a run: its task's generation in force, and the runs of its slot before it.
--
-- `first` is the argument that says how many tasks the node has little room for; behind it stand
-- each of them and how many of its runs are wanted. `is_written` if what may be taken is in SLOTS
-- before the next run is asked about.
local function take_as(holder, first, is_written)
  local own = ' ' .. call('HGET', IDS, holder) .. ' '
  local able, slots, given, room = {}, {}, {}, {}
  for at = first + 1, first + 2 * tonumber(ARGV[first]), 2 do
    room[ARGV[at]] = tonumber(ARGV[at + 1])
  end

  local function is_full(limit, task)
    local runs, indices = limit_of(limit)
    local all = in_hand_of(task, indices)
    for _, index in ipairs(is_written and {} or given[task] or {}) do
      all = index <= indices and all + 1 or all
    end
    return all >= runs
  end

  return function(flag, limit, kind, slot, task, entry)
    if room[task] == 0 then
      return nil
    end
    local generation = able[task]
    if generation == nil then
      local list, pause = call('HGET', LISTS, task), call('HGET', PAUSES, task)
      generation = false
      if list and not (pause and holds(pause)) then
        local in_force, tags = current(list)
        generation = string.find(tags .. ' ', own, 1, true) and in_force or false
      end
      able[task] = generation
    end
    if not generation then
      return nil
    end
    local runs = slots[slot]
    if runs == nil then
      runs = call('HGET', SLOTS, slot)
    end
    if runs and flag ~= 'a' and (kind ~= 's' or scheduled_in(runs)) then
      return nil
    end
    if limit and is_full(limit, task) then
      return nil
    end
    room[task] = room[task] and room[task] - 1
    given[task] = given[task] or {}
    table.insert(given[task], tonumber(string.match(slot, '^s(%d+)')))
    slots[slot] = runs and runs .. ' ' .. entry or entry
    return generation, runs
  end
end
