-- Runs several releases and acquisitions of one client in one step. Stands behind release.lua and acquire.lua, which are made
-- functions of their KEYS and ARGV: `members[1]` and `members[2]`.
-- KEYS: the lock of each; first those of the releases, then those of the acquisitions
-- ARGV: how many releases; their claim window; of each lock `tn1:` and the token, in one text; what stands before
--       the names of their records; of all acquisitions, or of each, what stands behind the token in acquire.lua: holder, ttl_ms,
--       and the rest
-- Reply: the fence of all acquisitions that are granted as usual (empty if there are none); then, of each request that was not
--        granted or freed as usual, its number and what it would have been answered alone, its error included, or nothing if
--        there was no time for it; and 0 and 'refused' if the commands for several keys at once may not be used here.
-- One step is what makes it cheap. None of these requests waits for another, so that the releases come first is an order like
-- any other. What all have in common is written once, and other names than the lock's are made here, because each text that
-- comes in or goes out costs as much as half a command.
local call, sub = redis.pcall, string.sub
local releases, count, marks, head = tonumber(ARGV[1]), #KEYS, ARGV[3], ARGV[4]
local queues, done, fence, refused = {}, {}, '', nil
-- The fence counter of all locks.
local counter = head .. 'f'
-- Where the terms of the next acquisition stand behind those of the one before.
local step = #ARGV == 7 and 0 or 3
local queue = head .. 'q:'
for i = 1, count do
  queues[i] = queue .. KEYS[i]
end

-- Those of which one of the records is there that stand in `names`, so many for each; nothing if none is.
local function which_of(names, first, last, each)
  if call('EXISTS', unpack(names, 1, each * (last - first + 1))) == 0 then
    return nil
  end
  local are = {}
  for i = first, last do
    local at = each * (i - first) + 1
    are[i] = call('EXISTS', unpack(names, at, at + each - 1)) ~= 0
  end
  return are
end

-- Whether we may not use a command at all.
local function is_denied(answer)
  local err = type(answer) == 'table' and answer['err']
  return err and (string.find(err, "can't run", 1, true) or string.find(err, 'to run the', 1, true)) and true or false
end

-- Locks that are as their holders left them and that nobody waits for are given back in three commands.
local function release_usual()
  local held = call('MGET', unpack(KEYS, 1, releases))
  if held['err'] then
    refused = 'refused'
    return
  end
  local waited, free, seen, n = which_of(queues, 1, releases, 1), {}, {}, 0
  for i = 1, releases do
    local value, lock = held[i], KEYS[i]
    -- Of another type is as if it were not there: the release alone sees to that, and to the second of two for one lock.
    if value and sub(value, 1, 36) == sub(marks, 36 * i - 35, 36 * i) and not seen[lock] and not (waited and waited[i]) then
      n = n + 1
      seen[lock], done[i], free[n] = true, true, lock
    end
  end
  if n > 0 and type(call('DEL', unpack(free))) ~= 'number' then
    done = {}
  end
end

-- The next fence, which all acquisitions get. It grows for each of them, and they are not compared with each other. Nothing if the
-- counter is not as usual.
local function count_on(micros, seconds)
  -- As in acquire_free.lua: text all the way.
  local new = seconds .. micros
  local last = call('GET', counter)
  if type(last) == 'string' and (#last ~= #new or last >= new or string.find(last, '%D')) then
    return nil
  end
  -- Of another type it is left to each to say so, and so it is with a server that takes no writes.
  local counted = type(last) == 'table' and last or call('SET', counter, new)
  if counted['err'] then
    refused = is_denied(counted) and 'refused' or nil
    return nil
  end
  return new
end

-- Grants locks that are all free, each once: two commands are less than one that does both. True if that was done.
local function grant_all(pairs, now)
  -- Of what is not there, so it says only whether we may.
  local may = call('PEXPIREAT', queues[releases + 1], 1)
  if may ~= 0 then
    refused = is_denied(may) and 'refused' or nil
    return false
  end
  local set = call('MSETNX', unpack(pairs))
  if set ~= 1 then
    refused = is_denied(set) and 'refused' or nil
    return false
  end
  local arg, ttl, till = 6, nil, nil
  for i = releases + 1, count do
    if ARGV[arg] ~= ttl then
      ttl = ARGV[arg]
      till = string.format('%.0f', now + ttl)
    end
    call('PEXPIREAT', KEYS[i], till)
    done[i], arg = true, arg + step
  end
  return true
end

-- Locks that are free, that nobody waits for and nobody is barred from are granted in five commands and one more for each.
local function acquire_usual()
  local names, n = {}, 0
  for i = releases + 1, count do
    -- Somebody waits, or a token is barred.
    names[n + 1], names[n + 2] = queues[i], head .. 'w:' .. KEYS[i]
    n = n + 2
  end
  local waited = which_of(names, releases + 1, count, 2)
  local clock = redis.call('TIME')
  local micros = sub('000000', #clock[2] + 1) .. clock[2]
  fence = count_on(micros, clock[1])
  if not fence then
    fence = ''
    return
  end
  local now = clock[1] .. sub(micros, 1, 3)
  local middle, arg = ':' .. fence .. ':' .. now .. ':', 5
  local behind, pairs, seen, is_each_one = middle .. ARGV[5], {}, {}, true
  n = 0
  for i = releases + 1, count do
    local lock = KEYS[i]
    if step > 0 then
      behind, arg = middle .. ARGV[arg], arg + step
    end
    pairs[n + 1], pairs[n + 2] = lock, sub(marks, 36 * i - 35, 36 * i) .. behind
    is_each_one = is_each_one and not seen[lock]
    seen[lock], n = true, n + 2
  end
  if is_each_one and not waited and grant_all(pairs, now) then
    return
  end
  arg, n = 6, 0
  for i = releases + 1, count do
    n = n + 2
    if not (waited and waited[i]) then
      local set = call('SET', KEYS[i], pairs[n], 'NX', 'PX', ARGV[arg])
      done[i] = set and not set['err']
    end
    arg = arg + step
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
local answers, n, left = { fence }, 1, 12
for i = 1, count do
  if not done[i] then
    local answer, fine = false, nil
    if left > 0 then
      local lock, token, member, args = KEYS[i], sub(marks, 36 * i - 31, 36 * i), members[2], nil
      if i <= releases then
        member, args = members[1], { token, ARGV[2] }
      else
        local arg = 5 + step * (i - releases - 1)
        args = { token, ARGV[arg], ARGV[arg + 1], ARGV[arg + 2] }
      end
      fine, answer = pcall(member, { lock, queues[i], head .. 'w:' .. lock, counter }, args)
      if not fine and type(answer) ~= 'table' then
        -- As Redis 6 tells it of a script that stands alone.
        answer = redis.error_reply('ERR Error running script (' .. tostring(answer) .. ')')
      end
      -- Very many dead waiters were in the way.
      local is_long = answer == 'more' or (type(answer) == 'table' and answer[1] == 'again')
      left = is_long and 0 or left - ((type(answer) == 'table' or answer == 'handed') and 1 or 0.25)
    end
    answers[n + 1], answers[n + 2] = i, answer
    n = n + 2
  end
end
if refused then
  answers[n + 1], answers[n + 2] = 0, refused
end
return answers
