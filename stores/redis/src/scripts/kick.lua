-- Hands a free lock to the first live waiter.
-- ARGV: claim_window_ms
-- Reply: 'done', or 'more' if waiters are left to be looked at.
if redis.call('EXISTS', L) == 1 then
  return 'done'
end
local outcome = hand_on(tonumber(ARGV[1]))
if outcome ~= 'handed' then
  redis.call('DEL', L)
end
return outcome == 'more' and 'more' or 'done'
