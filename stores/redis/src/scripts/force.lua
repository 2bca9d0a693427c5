-- Takes the lock from its holder if that is still the one an operator saw, and hands it on.
-- ARGV: mark, claim_window_ms
-- Reply: {'none'}, {'changed'}, or {'done' | 'more', occupant}
-- One step, so that a holder that came later is not hit.
local lock = read_lock()
if not lock then
  return { 'none' }
end
if mark_of(lock) ~= ARGV[1] then
  return { 'changed' }
end
local from = occupant(lock)
tell_of_loss(lock)
local outcome = hand_on(tonumber(ARGV[2]))
if outcome ~= 'handed' then
  redis.call('DEL', L)
end
return { outcome == 'more' and 'more' or 'done', from }
