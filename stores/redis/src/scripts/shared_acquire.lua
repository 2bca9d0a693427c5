-- Grants a share of the lock if that goes with those that have it and it is this token's turn, else takes or keeps a place.
-- ARGV: as in acquire.lua, and what is wanted: `r`, or how many permits there are
-- Reply: {'granted', now_ms, fence, ttl_ms}, or {'kept', …}, the same, of a share that was the token's before; else as
--        acquire.lua
-- One step, because who shares the lock, the test and the place in the queue must not be apart.
local token, holder, ttl, want = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local keep, claim_window, most, channel = string.match(ARGV[4], '^(%d+) (%d+) (%d+) (.*)$')
keep, claim_window = tonumber(keep), tonumber(claim_window)

if is_barred(token) then
  return { 'barred' }
end
load()
local fence, left = prolong(token, ttl)
if fence then
  save()
  return { 'kept', now, fence, left }
end
if lock and lock.token == token then
  -- It was handed on as to anybody. Those behind who want the same come in now.
  left = open(token, holder, ttl, want)
  serve(claim_window)
  save()
  return { 'kept', now, lock.fence, left }
end
if keep > 0 and state ~= 'held' then
  -- It is alive by the very fact that it asks.
  local known = waiter_of(token)
  if known and known.deadline >= now then
    take_place(token, holder, ARGV[3], keep, most, channel)
  end
end
if state ~= 'held' then
  local _, own, is_long = serve(claim_window, token, ttl)
  fence = own
  if fence then
    save()
    return { 'granted', now, fence, ttl }
  end
  if is_long then
    save()
    return { 'again', now }
  end
  if has_room(want, want) and redis.call('EXISTS', Q) == 0 then
    fence = next_fence()
    if not fence then
      return broken_fence()
    end
    -- Not protected: a server that takes no writes says so itself.
    redis.call('SET', F, fence)
    admit(token, holder, ttl, fence, now_text, want)
    mode = want
    save()
    return { 'granted', now, fence, ttl }
  end
end
local position = 0
if keep > 0 then
  local place, is_new = take_place(token, holder, ARGV[3], keep, most, channel)
  if not place then
    return queue_full(most)
  end
  redis.call('HSET', D, token, 'w ' .. want)
  if redis.call('PTTL', D) < keep + 1000 then
    redis.call('PEXPIRE', D, keep + 1000)
  end
  position = place
  if is_new and state == 'shared' and want ~= 'r' and mode ~= 'r' then
    -- It may have raised the limit.
    mode = want
    local _, own = serve(claim_window, token, ttl)
    if own then
      save()
      return { 'granted', now, own, ttl }
    end
    position = redis.call('ZRANK', Q, token) + 1
  end
end
save()
lock = read_lock()
local length = redis.call('ZCARD', Q)
if not lock then
  -- Free, but the first in line can only be told by asking: this request's sender may not speak.
  return { 'held', now_us, 0, position, length, { 'free' } }
end
left = redis.call('PTTL', L)
if state == 'shared' and (want == 'r') == (mode == 'r') then
  left = tonumber(redis.call('ZRANGE', E, 0, 0, 'WITHSCORES')[2]) - now
end
return { 'held', now_us, left, position, length, occupant(lock) }
