-- Which nodes live, which definition of a task is in force, and whether it is paused; stands behind
-- run_base.lua.
local living = {}
local function is_alive(tag)
  local known = living[tag]
  if known == nil then
    local ends = call('ZSCORE', ALIVE, tag)
    known = ends and tonumber(ends) > now or false
    living[tag] = known
  end
  return known
end

-- The tag of a holder whose lease has not ended.
local function living_tag(holder)
  local tag = call('HGET', IDS, holder)
  return tag and is_alive(tag) and tag
end

-- The generation in force, and who lists it: the newest that a live node lists, or else the newest.
local function current(list)
  local newest, listed
  for generation, tags in string.gmatch(list, '([^ ;]+)([^;]*)') do
    if not newest then
      newest, listed = generation, tags
    end
    for tag in string.gmatch(tags, '%S+') do
      if is_alive(tag) then
        return generation, tags
      end
    end
  end
  return newest or '', listed or ''
end

-- Whether a pause holds now; one that cannot be read does.
local function holds(pause)
  local ends = string.match(pause, '^(%d+) ')
  return not ends or tonumber(ends) > now
end
