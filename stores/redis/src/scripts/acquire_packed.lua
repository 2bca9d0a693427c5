-- Reads what acquire_free.lua needs from one key and one text, where one server has all keys and the names of the others
-- can be made here: each key and each argument of a script costs as much as a third of a command.
-- KEYS: the lock
-- ARGV: in one text, "tn1:TOKEN::HOLDER TTL_MS REST", the rest as in acquire.lua
local sub, lock, terms = string.sub, KEYS[1], ARGV[1]
local waiters, counter = 'tenure:{0}:w:' .. lock, 'tenure:{0}:f'
-- Token and holder have 32 digits each.
local gap = string.find(terms, ' ', 72, true)
local mark, tail, ttl = sub(terms, 1, 37), sub(terms, 38, 70), sub(terms, 72, gap - 1)
