-- Grants the lock if it is free and it is this token's turn, else takes or keeps a place in the queue.
-- ARGV: token, holder, ttl_ms, and in one text, which a lock that is free need not read: "KEEP_MS WINDOW_MS MOST CHANNEL", the
--       time for which a place is kept (0: none is taken), the claim window, the most places, and where to push to (empty:
--       nowhere)
-- Reply: the fence alone (see acquire_free.lua), or
--        {'granted', now_ms, fence, ttl_ms}, or
--        {'held', now_us, pttl_ms (-1: never ends), position (0: none), length, occupant}, or
--        {'barred'} if the token was cancelled before, or
--        {'again', now_ms} if more dead waiters stand in the way than one step removes.
-- One step, because the test and the place in the queue must not be apart: no wake-up is lost between them.
local token, holder, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local keep, claim_window, most, channel = string.match(ARGV[4], '^(%d+) (%d+) (%d+) (.*)$')
keep, claim_window = tonumber(keep), tonumber(claim_window)

local function granted()
  local fence = next_fence()
  if not fence then
    return broken_fence()
  end
  -- Not protected: a server that takes no writes says so itself.
  redis.call('SET', F, fence)
  redis.call('SET', L, 'tn1:' .. token .. ':' .. fence .. ':' .. text(now) .. ':' .. holder, 'PX', ttl)
  return { 'granted', now, fence, ttl }
end

if is_barred(token) then
  return { 'barred' }
end
local lock = read_lock()
if lock and lock.token == token then
  local left = redis.call('PTTL', L)
  if left < ttl then
    redis.call('PEXPIRE', L, ttl)
    left = ttl
  end
  return { 'granted', now, lock.fence, left }
end
if not lock then
  if redis.call('EXISTS', Q) == 0 then
    return granted()
  end
  local outcome = hand_on(claim_window, token)
  if outcome == 'own' then
    return granted()
  elseif outcome == 'broken' then
    return broken_fence()
  elseif outcome ~= 'handed' then
    -- What was written for a waiter that turned out to be gone is nobody's.
    redis.call('DEL', L)
    if outcome == 'more' then
      return { 'again', now }
    end
    if redis.call('EXISTS', Q) == 0 then
      return granted()
    end
  end
  lock = read_lock()
end

local position = 0
if keep > 0 then
  local place = take_place(token, holder, ARGV[3], keep, most, channel)
  if not place then
    return queue_full(most)
  end
  position = place
end
local length = redis.call('ZCARD', Q)
if not lock then
  -- Free, but the first in line can only be told by asking: this request's sender may not speak.
  return { 'held', now_us, 0, position, length, { 'free' } }
end
return { 'held', now_us, redis.call('PTTL', L), position, length, occupant(lock) }
