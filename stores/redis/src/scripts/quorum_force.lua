-- Takes this server's vote from the holding that an operator saw, and tells the first who waits.
-- ARGV: the holding: tn1:TOKEN, or the mark of a foreign one
-- Reply: 1 if it had this server's vote, else 0
-- One step, so that a holder that came later is not hit.
local lock = read_lock()
if not lock then
  return 0
end
local holding = lock.token and 'tn1:' .. lock.token or mark_of(lock)
if holding ~= ARGV[1] then
  return 0
end
redis.call('DEL', L)
tell_of_loss(lock)
tell_of_release(lock.token or 'foreign')
return 1
