-- Takes back this server's vote for a token and tells the first who waits.
-- ARGV: token, 'release' | 'cancel' (which gives up its place as well) | 'leave' (which gives up nothing else), and for how long
--       the token is barred, in ms, because a request of it may come later (0: none can)
-- Reply: 'released', 'left' (it had a place and no vote) or 'nothing'
-- One step, so that nobody who comes to wait between the two is missed.
local place = ARGV[2] ~= 'release' and waiter_of(ARGV[1])
-- A place that has ended is none, though nobody has cleared it away yet.
local waited = ARGV[2] ~= 'release' and forget(ARGV[1]) and place and place.deadline >= now
local bars = tonumber(ARGV[3])
if bars > 0 then
  bar(ARGV[1], bars)
end
local lock = ARGV[2] ~= 'leave' and read_lock()
if not lock or lock.token ~= ARGV[1] then
  return waited and 'left' or 'nothing'
end
redis.call('DEL', L)
if bars == 0 then
  forget(ARGV[1])
end
tell_of_release(ARGV[1])
return 'released'
