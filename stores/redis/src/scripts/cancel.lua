-- Ends whatever a token has: its place in the queue, and the lock or its share of it if it was granted.
-- ARGV: token, claim_window_ms, and for how long the token is barred, in ms: a request of it may come later (0: none can)
-- Reply: 'nothing', 'left' (it had a place), 'released' (it had the lock), or 'more' (released, with waiters left to be
-- looked at).
-- One step, so that a grant cannot slip in between leaving the queue and looking at the lock.
local place = waiter_of(ARGV[1])
-- A place that has ended is none, though nobody has cleared it away yet.
local waited = forget(ARGV[1]) and place and place.deadline >= now
local bars = tonumber(ARGV[3])
if bars > 0 then
  bar(ARGV[1], bars)
end
load()
local has_it = true
if end_of(ARGV[1]) then
  dismiss(ARGV[1])
elseif lock and lock.token == ARGV[1] then
  state = 'free'
  redis.call('HDEL', D, ARGV[1])
else
  has_it = false
  redis.call('HDEL', D, ARGV[1])
  if state ~= 'shared' then
    return waited and 'left' or 'nothing'
  end
end
-- Whoever stood behind a waiter that left may go with those that have the lock.
local _, _, is_long = serve(tonumber(ARGV[2]))
save()
if not has_it then
  return waited and 'left' or 'nothing'
end
return is_long and 'more' or 'released'
