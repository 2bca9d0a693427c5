-- Gives the lock to the first live waiter; stands behind release_alone.lua and release_next.lua, which know that
-- it is held and waited for, and that there is something unusual about the waiters.
-- ARGV: token, claim_window_ms
-- Reply: 'freed', 'handed', 'not_held', 'shared' (ask shared_release.lua), or 'more' (freed, with waiters left to be looked
-- at).
-- One step, so that nobody can slip in between the holder and the next.
local outcome = hand_on(tonumber(ARGV[2]))
if outcome == 'handed' then
  return 'handed'
end
redis.call('DEL', L)
if outcome == 'more' then
  return 'more'
end
return 'freed'
