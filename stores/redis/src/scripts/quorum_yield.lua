-- Takes back this server's vote for a token that won no majority, and keeps its place among those to be told.
-- ARGV: token, holder, ttl_ms, keep_ms (0: no place), channel, the most places, score of the place it had | ''
-- Reply: {position (0: none), length}
-- Nobody is told: those who were turned away by each other ask again at different moments.
local lock = read_lock()
if lock and lock.token == ARGV[1] then
  redis.call('DEL', L)
end
local keep = tonumber(ARGV[4])
if keep == 0 then
  return { 0, redis.call('ZCARD', Q) }
end
local position, length = take_place(ARGV[1], ARGV[2], ARGV[3], keep, ARGV[5], ARGV[6], ARGV[7])
return { position or 0, length }
