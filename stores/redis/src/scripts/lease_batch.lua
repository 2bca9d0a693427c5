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
local fence, refused = '', nil
-- Whether all releases, or all acquisitions, went as usual; if not, which of both did.
local are_freed, are_granted, done = releases == 0, releases == count, {}
-- The fence counter of all locks.
local counter = head .. 'f'
-- Where the terms of the next acquisition stand behind those of the one before.
local step = #ARGV == 7 and 0 or 3

-- Whether we may not use a command at all.
local function is_denied(answer)
  local err = type(answer) == 'table' and answer['err']
  return err and (string.find(err, "can't run", 1, true) or string.find(err, 'to run the', 1, true)) and true or false
end

-- The names of the waiters of each lock, and for which of them there are any, or barred tokens; nothing if for none.
local waiters, waited = {}, nil
do
  local records = head .. 'w:'
  for i = 1, count do
    waiters[i] = records .. KEYS[i]
  end
  if call('EXISTS', unpack(waiters)) ~= 0 then
    waited = {}
    for i = 1, count do
      waited[i] = call('EXISTS', waiters[i]) ~= 0
    end
  end
end

-- Locks that are as their holders left them and that nobody waits for are given back in two commands.
local function release_usual()
  local held = call('MGET', unpack(KEYS, 1, releases))
  if held['err'] then
    refused = 'refused'
    return
  end
  local free, n, find = {}, 0, string.find
  for i = 1, releases do
    local value = held[i]
    -- Of another type is as if it were not there: the release alone sees to that. What is ours is no longer than this.
    if value and #value < 128 and not (waited and waited[i]) and find(value, sub(marks, 36 * i - 35, 36 * i), 1, true) == 1 then
      n = n + 1
      done[i], free[n] = true, KEYS[i]
    end
  end
  if n == 0 then
    return
  end
  local freed = call('DEL', unpack(free))
  are_freed = freed == releases
  if freed ~= n then
    -- Two were for one lock, and the second has nothing to free. Or we may not.
    local seen, may = {}, type(freed) == 'number'
    for i = 1, releases do
      local lock = KEYS[i]
      if done[i] then
        done[i], seen[lock] = may and not seen[lock], true
      end
    end
  end
end

-- Counts the fence up for all acquisitions, which are not compared with each other. Nothing if the counter is not as usual.
local function count_on(new)
  -- As in acquire_free.lua: text all the way, and in one command where SET knows GET.
  local last = call('SET', counter, new, 'GET')
  if last == false or (type(last) == 'string' and #last == #new and last < new and not string.find(last, '%D')) then
    return true
  end
  if type(last) == 'string' then
    call('SET', counter, last)
    return false
  end
  if not string.find(last['err'], 'syntax', 1, true) then
    -- Of another type it is left to each to say so, and so it is with a server that takes no writes.
    refused = is_denied(last) and 'refused' or nil
    return false
  end
  last = call('GET', counter)
  if type(last) == 'string' and (#last ~= #new or last >= new or string.find(last, '%D')) then
    return false
  end
  local counted = type(last) == 'table' and last or call('SET', counter, new)
  if counted['err'] then
    refused = is_denied(counted) and 'refused' or nil
    return false
  end
  return true
end

-- Grants locks that are all free, each once: two commands are less than one that does both. True if that was done.
local function grant_all(pairs, now)
  local set = call('MSETNX', unpack(pairs))
  if set ~= 1 then
    refused = is_denied(set) and 'refused' or nil
    return false
  end
  local arg, n, ttl, till = 6, 0, nil, nil
  for i = releases + 1, count do
    if ARGV[arg] ~= ttl then
      ttl = ARGV[arg]
      till = string.format('%.0f', now + ttl)
    end
    n = n + 2
    if call('PEXPIREAT', KEYS[i], till) ~= 1 then
      -- We may not, and it must end all the same.
      redis.call('SET', KEYS[i], pairs[n], 'PX', ttl)
      refused = 'refused'
    end
    arg = arg + step
  end
  return true
end

-- Locks that are free, that nobody waits for and nobody is barred from are granted in four commands and one more for each.
local function acquire_usual()
  local clock = redis.call('TIME')
  local micros = clock[2]
  if #micros < 6 then
    micros = sub('000000', #micros + 1) .. micros
  end
  if not count_on(clock[1] .. micros) then
    return
  end
  fence = clock[1] .. micros
  local now = sub(fence, 1, 13)
  local middle, arg = ':' .. fence .. ':' .. now .. ':', 5
  local behind, pairs, seen, is_each_one, n = middle .. ARGV[5], {}, {}, true, 0
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
    are_granted = true
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
local answers, n, left, queue = { fence }, 1, 12, head .. 'q:'
for i = are_freed and releases + 1 or 1, are_granted and releases or count do
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
      fine, answer = pcall(member, { lock, queue .. lock, waiters[i], counter }, args)
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
