-- Reads what release_alone.lua needs from four keys and from ARGV as in release.lua.
local lock, queue, mark = KEYS[1], KEYS[2], 'tn1:' .. ARGV[1] .. ':'
