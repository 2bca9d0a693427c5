-- Ends whatever a token has: its place in the queue, and the lock if it was granted.
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
local lock = read_lock()
if not lock or lock.token ~= ARGV[1] then
  return waited and 'left' or 'nothing'
end
local outcome = hand_on(tonumber(ARGV[2]))
if outcome ~= 'handed' then
  redis.call('DEL', L)
end
return outcome == 'more' and 'more' or 'released'
