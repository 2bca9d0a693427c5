-- Runs several releases and acquisitions of one client in one step. Stands behind release.lua and acquire.lua, which are made
-- functions of their KEYS and ARGV: `members[1]` and `members[2]`.
-- KEYS: four of each lock, as in lease.lua; first those of the releases, then those of the acquisitions
-- ARGV: how many releases; of each release its arguments in release.lua; of each acquisition its arguments in acquire.lua
-- Reply: what each would have been answered alone, its error included; nothing at all for those that there was no time for.
--        One more that says 'refused' if the commands for several keys at once may not be used here.
-- One step is what makes it cheap. None of these requests waits for another, so that the releases come first is an order like
-- any other.
local releases, count = tonumber(ARGV[1]), #KEYS / 4
local answers, refused = {}, nil

-- Locks that are as their holders left them and that nobody waits for are given back in three commands.
local function release_usual()
  local locks, queues, free, seen = {}, {}, {}, {}
  for i = 1, releases do
    locks[i], queues[i] = KEYS[4 * i - 3], KEYS[4 * i - 2]
  end
  local held = redis.pcall('MGET', unpack(locks))
  if held['err'] then
    refused = 'refused'
    return
  end
  if redis.pcall('EXISTS', unpack(queues)) ~= 0 then
    return
  end
  for i = 1, releases do
    local value, lock = held[i], locks[i]
    -- Of another type is as if it were not there: the release alone sees to that, and to the second of two for one lock.
    if value and not seen[lock] and string.find(value, ARGV[2 * i], 5, true) == 5 and string.sub(value, 1, 4) == 'tn1:' then
      seen[lock] = true
      free[#free + 1] = lock
      answers[i] = 'freed'
    end
  end
  if #free > 0 and type(redis.pcall('DEL', unpack(free))) ~= 'number' then
    answers = {}
  end
end

-- Locks that are free and that nobody waits for are granted in four commands and one more for each. All get the same fence:
-- it grows for each of them, and they are not compared with each other.
local function acquire_usual()
  local names, counters, there, fences, lost, seen, at = {}, {}, {}, {}, {}, {}, 0
  for i = 4 * releases + 1, #KEYS, 4 do
    local lock = KEYS[i]
    if seen[lock] then
      return
    end
    seen[lock] = true
    at = at + 1
    names[at], counters[at] = lock, KEYS[i + 3]
    there[3 * at - 2], there[3 * at - 1], there[3 * at] = lock, KEYS[i + 1], KEYS[i + 2]
  end
  if redis.pcall('EXISTS', unpack(there)) ~= 0 then
    return
  end
  -- As in acquire_free.lua: text all the way.
  local clock = redis.call('TIME')
  local micros = string.sub('000000', #clock[2] + 1) .. clock[2]
  local fence = clock[1] .. micros
  local last = redis.pcall('MGET', unpack(counters))
  if last['err'] then
    refused = 'refused'
    return
  end
  for i = 1, at do
    local number = last[i]
    if not number then
      lost[#lost + 1] = counters[i]
    elseif #number ~= #fence or number >= fence or string.find(number, '%D') then
      return
    end
    fences[2 * i - 1], fences[2 * i] = counters[i], fence
  end
  -- A counter that is not there, or one of another type?
  if #lost > 0 and redis.pcall('EXISTS', unpack(lost)) ~= 0 then
    return
  end
  local counted = redis.pcall('MSET', unpack(fences))
  if counted['err'] then
    -- A server that takes no writes says so to each.
    refused = string.find(counted['err'], 'MSET', 1, true) and 'refused' or nil
    return
  end
  local behind = ':' .. fence .. ':' .. clock[1] .. string.sub(micros, 1, 3) .. ':'
  local arg = 2 * releases + 2
  for i = 1, at do
    local set = redis.pcall('SET', names[i], 'tn1:' .. ARGV[arg] .. behind .. ARGV[arg + 1], 'PX', ARGV[arg + 2])
    answers[releases + i] = set['err'] and set or fence
    arg = arg + 4
  end
end

-- Of fewer than these it would be more work than to look at each.
if releases > 1 then
  release_usual()
end
if count - releases > 2 then
  acquire_usual()
end

-- What is left is done as if it had come alone. That takes up to ten times as long, so there are fewer of them.
local left = 12
for i = 1, count do
  if answers[i] == nil then
    local key, member, args = 4 * i, members[2], nil
    if i <= releases then
      member, args = members[1], { ARGV[2 * i], ARGV[2 * i + 1] }
    else
      local arg = 4 * i - 2 * releases - 2
      args = { ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3] }
    end
    if left <= 0 then
      answers[i] = false
    else
      local fine, answer = pcall(member, { KEYS[key - 3], KEYS[key - 2], KEYS[key - 1], KEYS[key] }, args)
      if not fine and type(answer) ~= 'table' then
        -- As Redis 6 tells it of a script that stands alone.
        answer = redis.error_reply('ERR Error running script (' .. tostring(answer) .. ')')
      end
      answers[i] = answer
      -- Very many dead waiters were in the way.
      local is_long = answer == 'more' or (type(answer) == 'table' and answer[1] == 'again')
      left = is_long and 0 or left - ((type(answer) == 'table' or answer == 'handed') and 1 or 0.25)
    end
  end
end
answers[count + 1] = refused
return answers
