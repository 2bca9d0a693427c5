-- Reads what acquire_free.lua needs from four keys and from ARGV as in acquire.lua.
local sub, lock, waiters, counter = string.sub, KEYS[1], KEYS[3], KEYS[4]
local mark, tail, ttl = 'tn1:' .. ARGV[1] .. ':', ':' .. ARGV[2], ARGV[3]
