-- Votes for a token if the lock is free on this server, whoever waits; else keeps a place for it among those to be told.
-- Stands behind acquire_free.lua, which votes when nobody waits either.
-- ARGV: token, holder, ttl_ms, keep_ms (0: no place), channel, the most places
-- Reply: the fence alone (see acquire_free.lua), or
--        {'granted', now_ms, fence, ttl_ms, score of the place that was given up | ''},
--        {'kept', now_ms, fence, pttl_ms} if it had this vote before; a fence that a majority agreed on begins with 0;
--        {'barred', now_ms} if the token was cancelled before; or
--        {'held', now_ms, pttl_ms (-1: never ends), position (0: none), length, occupant}
-- One step, because the test and the place must not be apart: no release between them is missed.
local token, holder, ttl, keep = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if is_barred(token) then
  return { 'barred', now }
end
local lock = read_lock()
if lock and lock.token == token then
  local left = redis.call('PTTL', L)
  if left < ttl then
    redis.call('PEXPIRE', L, ttl)
    left = ttl
  end
  return { 'kept', now, lock.fence, left }
end
if lock then
  local position, length = 0, 0
  if keep > 0 then
    position, length = take_place(token, holder, ARGV[3], keep, ARGV[5], ARGV[6], '')
    if not position then
      return queue_full(ARGV[6])
    end
  end
  return { 'held', now, redis.call('PTTL', L), position, length, occupant(lock) }
end
local fence = next_fence()
if not fence then
  return broken_fence()
end
local score = redis.call('ZSCORE', Q, token) or ''
-- Not protected: a server that takes no writes says so itself.
redis.call('SET', F, fence)
redis.call('SET', L, 'tn1:' .. token .. ':' .. fence .. ':' .. text(now) .. ':' .. holder, 'PX', ttl)
if score ~= '' then
  forget(token)
end
return { 'granted', now, fence, ttl, score }
