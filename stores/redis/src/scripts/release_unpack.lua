-- Stands behind release_packed.lua and release_alone.lua: from here on the keys and arguments are those of release.lua.
local KEYS = { lock, queue, 'tenure:{0}:w:' .. lock, 'tenure:{0}:f' }
local ARGV = { string.sub(mark, 5, 36), string.sub(ARGV[1], 39) }
