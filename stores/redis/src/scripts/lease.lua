-- What the lease scripts share; stands before each of those that name four keys.
--
-- KEYS[1] L  the lock: tn1:TOKEN:FENCE:SINCE_MS:HOLDER, with an expiry, written under the user's own name
-- KEYS[2] Q  the queue: a sorted set of waiting tokens, scored by their arrival
-- KEYS[3] W  the waiters: a hash from token to "HOLDER TTL_MS DEADLINE_MS SINCE_MS CHANNEL"; there whenever Q is. Also the
--            tokens that were cancelled while a request of theirs was on its way, each with "x UNTIL_MS", and a list of them
--            under `barred`
-- KEYS[4] F  the fence counter of the hash slot
--
-- A step is atomic because it is one script. All time is the server's.
local L, Q, W, F = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
-- The same as text, which costs less than to print the numbers: microseconds, milliseconds.
local micros = string.sub('000000', #clock[2] + 1) .. clock[2]
local now_us_text, now_text = clock[1] .. micros, clock[1] .. string.sub(micros, 1, 3)

-- Numbers up to 2^53 without an exponent.
local function text(number)
  return string.format('%.0f', number)
end

-- The lock as it is written: nil if it is free; a table with `token` if it is one of ours, with `shared` if several of ours
-- share it: see shared.lua.
local function read_lock()
  local value = redis.pcall('GET', L)
  if value == false then
    return nil
  end
  if type(value) == 'table' then
    local kind = redis.call('TYPE', L)['ok']
    if kind == 'string' or kind == 'none' then
      -- We may not read. That is no foreign lock; the server says itself what it is.
      redis.call('GET', L)
    end
    return { what = kind }
  end
  local token, fence, since, holder = string.match(value, '^tn1:(%x+):(%d+):(%d+):(%x+)$')
  if not token then
    local mode, count, begun, from = string.match(value, '^tns1:(%w+):(%d+):(%d+):(%d+)$')
    if mode then
      return { shared = mode, count = count, fence = begun, since = from, value = value }
    end
    return { what = 'string', value = value }
  end
  return { token = token, fence = fence, since = since, holder = holder, value = value }
end

-- Who has the lock, for a reply.
local function occupant(lock)
  if lock.token then
    return { 'ours', lock.holder, lock.fence, lock.since }
  elseif lock.shared then
    return { 'shared', lock.shared, lock.count }
  end
  return { 'foreign', lock.what }
end

-- A number greater than every fence before it: the counter while it lives, the clock if it was lost.
local function next_fence()
  local last = redis.pcall('GET', F)
  if type(last) == 'table' and redis.call('TYPE', F)['ok'] == 'string' then
    -- We may not read, and the server says why.
    redis.call('GET', F)
  end
  local fence = now_us
  if last then
    local number = type(last) == 'string' and tonumber(last)
    if not number or number >= 9007199254740991 or number < 0 or number ~= math.floor(number) then
      return nil
    end
    if number >= fence then
      fence = number + 1
    end
  end
  return text(fence)
end

local function broken_fence()
  return redis.error_reply('CORRUPT the fence counter `' .. F .. '` holds no usable number; with no lock held, delete it')
end

local function queue_full(most)
  return redis.error_reply('QUEUEFULL ' .. most .. ' wait for this lock, and max_waiters allows no more')
end

local function forget(token)
  redis.call('HDEL', W, token)
  return redis.call('ZREM', Q, token) == 1
end

local function waiter_of(token)
  local details = redis.call('HGET', W, token)
  if not details then
    return nil
  end
  -- A holder has 32 digits.
  local ttl, deadline, since, channel = string.match(details, '^ (%d+) (%d+) (%d+) (.*)$', 33)
  if not ttl then
    return nil
  end
  return {
    details = details, holder = string.sub(details, 1, 32), ttl = tonumber(ttl), deadline = tonumber(deadline),
    since = since, channel = channel,
  }
end

-- Lets W last for so long at least.
local function keep_waiters(ms)
  if redis.call('PTTL', W) < ms then
    redis.call('PEXPIRE', W, ms)
  end
end

-- Whether a token was cancelled before this request of it came.
local function is_barred(token)
  local ends = string.match(redis.call('HGET', W, token) or '', '^x (%d+)$')
  return ends and tonumber(ends) >= now
end

-- Grants this token nothing more for so long. The latest 64 of a lock are remembered.
local function bar(token, ms)
  local listed, count = { token .. ' ' .. text(now + ms) .. ';' }, 1
  for known, ends in string.gmatch(redis.call('HGET', W, 'barred') or '', '(%x+) (%d+);') do
    if count < 64 and tonumber(ends) >= now and known ~= token then
      count = count + 1
      listed[count] = known .. ' ' .. ends .. ';'
    else
      redis.call('HDEL', W, known)
    end
  end
  redis.call('HSET', W, token, 'x ' .. text(now + ms))
  redis.call('HSET', W, 'barred', table.concat(listed))
  keep_waiters(ms)
end

-- Removes waiters from the head whose places have ended.
local function skip_lapsed()
  for _ = 1, 64 do
    local token = redis.call('ZRANGE', Q, 0, 0)[1]
    local waiter = token and waiter_of(token)
    if not token or (waiter and waiter.deadline >= now) then
      return
    end
    forget(token)
  end
end

-- Counts the fence up in one command, where SET knows GET (Redis 6.2). The fence and nil; or nil and 'broken', or 'full' if
-- the server takes no more writes.
local function raise_fence()
  local last = redis.pcall('SET', F, now_us_text, 'GET')
  if last == false
    or (type(last) == 'string' and #last == #now_us_text and last < now_us_text and not string.find(last, '%D')) then
    return now_us_text
  end
  if type(last) == 'string' then
    redis.pcall('SET', F, last)
  end
  local fence = next_fence()
  if not fence then
    return nil, 'broken'
  end
  local counted = redis.pcall('SET', F, fence)
  if type(counted) == 'table' and counted['err'] then
    return nil, 'full'
  end
  return fence
end

-- Writes the lock for a token. False if the server takes no more writes.
local function write_lock(token, holder, ttl, fence)
  local value = 'tn1:' .. token .. ':' .. fence .. ':' .. now_text .. ':' .. holder
  local written = redis.pcall('SET', L, value, 'PX', ttl)
  return not (type(written) == 'table' and written['err'])
end

-- Tells a waiter that the lock is its own, or a share of it (`j`); how many heard it, or nil if we may not speak.
local function tell(waiter, token, fence, expires, kind)
  local message = (kind or 'g') .. ' ' .. token .. ' ' .. fence .. ' ' .. now_text .. ' ' .. text(expires) .. ' ' .. L
  local command, channel = 'PUBLISH', string.sub(waiter.channel, 2)
  if string.sub(waiter.channel, 1, 1) == 's' then
    command = 'SPUBLISH'
    -- Who hears it at a replica hears it as well and is not counted: it would be taken for dead, and take the lock for its own.
    local here = redis.pcall('PUBSUB', 'SHARDNUMSUB', channel)
    if here[2] == 0 then
      return 0
    end
  end
  local heard = redis.pcall(command, channel, message)
  if type(heard) == 'number' then
    return heard
  end
  return nil
end

-- Gives the lock to the first live waiter. Nobody was next: 'nobody'. The fence counter is broken: 'broken'.
-- It is `own`'s turn, who asks at this moment: 'own'. Handed on: 'handed'. Too many dead: 'more'.
-- The lock of a holder that gives it up is still there; whoever calls this deletes it unless it was handed on.
local function hand_on(claim_window, own)
  for _ = 1, 64 do
    -- The removal comes first: after a write that does not grow, a full server lets the others pass.
    local head = redis.call('ZPOPMIN', Q)
    local token, score = head[1], head[2]
    if not token then
      return 'nobody'
    end
    local waiter = waiter_of(token)
    redis.call('HDEL', W, token)
    if token == own then
      return 'own'
    end
    if waiter and waiter.deadline >= now then
      local fence, why = raise_fence()
      if why == 'broken' then
        return 'broken'
      end
      local ttl = math.min(waiter.ttl, claim_window)
      if why or not write_lock(token, waiter.holder, ttl, fence) then
        return 'nobody'
      end
      if waiter.channel == '' then
        return 'handed'
      end
      local heard = tell(waiter, token, fence, now + ttl)
      if heard == nil then
        -- We have no right to speak. The waiter keeps its place and finds the lock free when it asks.
        redis.call('ZADD', Q, score, token)
        redis.call('HSET', W, token, waiter.details)
        redis.call('PEXPIRE', Q, waiter.deadline - now + 1000)
        keep_waiters(waiter.deadline - now + 1000)
        return 'nobody'
      end
      if heard > 0 then
        return 'handed'
      end
    end
  end
  return 'more'
end
