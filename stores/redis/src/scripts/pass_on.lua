-- Gives back a lock that was pushed to a waiter who is gone, and hands it to the next.
-- ARGV: token, fence and expires_ms as they were pushed, claim_window_ms
-- Reply: 'passed', 'other' (it is not as it was pushed), or 'more' (passed, with waiters left to be looked at).
-- One step, because the lock must still be what was pushed: a holder that asked for it or renewed it since moved its end.
local lock = read_lock()
if not lock or lock.token ~= ARGV[1] or lock.fence ~= ARGV[2] then
  return 'other'
end
-- The end was reckoned from a reading of the clock a moment before it was set.
if math.abs(now + redis.call('PTTL', L) - tonumber(ARGV[3])) > 5 then
  return 'other'
end
local outcome = hand_on(tonumber(ARGV[4]))
if outcome ~= 'handed' then
  redis.call('DEL', L)
end
return outcome == 'more' and 'more' or 'passed'
