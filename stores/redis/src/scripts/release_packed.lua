-- Reads what release_alone.lua needs from one key and one text, as acquire_packed.lua does.
-- KEYS: the lock
-- ARGV: in one text, "tn1:TOKEN: CLAIM_WINDOW_MS"
local lock, mark = KEYS[1], string.sub(ARGV[1], 1, 37)
local queue = 'tenure:{0}:q:' .. lock
