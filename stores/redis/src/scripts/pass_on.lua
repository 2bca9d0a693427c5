-- Gives back a lock, or a share of it, that was pushed to a waiter who is gone, and hands it to the next.
-- ARGV: token, fence and expires_ms as they were pushed, claim_window_ms
-- Reply: 'passed', 'other' (it is not as it was pushed), or 'more' (passed, with waiters left to be looked at).
-- One step, because the lock must still be what was pushed: a holder that asked for it or renewed it since moved its end.
load()
local _, fence, _, ends = share_of(ARGV[1])
if not ends and lock and lock.token == ARGV[1] then
  ends, fence = now + redis.call('PTTL', L), lock.fence
end
-- The end was reckoned from a reading of the clock a moment before it was set.
if not ends or fence ~= ARGV[2] or math.abs(ends - tonumber(ARGV[3])) > 5 then
  return 'other'
end
if state == 'shared' then
  dismiss(ARGV[1])
else
  state = 'free'
end
local _, _, is_long = serve(tonumber(ARGV[4]))
save()
return is_long and 'more' or 'passed'
