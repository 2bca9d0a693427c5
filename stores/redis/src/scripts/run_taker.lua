-- Which waiting runs a node may take; stands behind run_record.lua and run_task.lua.

-- Tells of runs, one after the other, whether the node may take them: its tag lists the generation
-- in force, the task is not paused, and nothing stands in the way. A scheduled run minds scheduled
-- ones only, so that a requested run never costs a tick; a requested run minds any. A run that may
-- be taken stands in the way of those asked about later. What is answered for a run: its task's
-- generation in force, and the runs of its slot before it.
local function take_as(holder)
  local own = ' ' .. call('HGET', IDS, holder) .. ' '
  local able, slots = {}, {}
  return function(flag, kind, slot, task, entry)
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
    slots[slot] = runs and runs .. ' ' .. entry or entry
    return generation, runs
  end
end
