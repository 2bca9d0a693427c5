-- Stands behind acquire_packed.lua and acquire_free.lua: from here on the keys and arguments are those of acquire.lua.
local KEYS = { lock, 'tenure:{0}:q:' .. lock, waiters, counter }
local ARGV = { sub(mark, 5, 36), sub(tail, 2), ttl, sub(terms, gap + 1) }
