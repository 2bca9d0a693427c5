-- Gives back a lock that nobody waits for: what happens nearly always. Behind release_named.lua or release_packed.lua.
-- Reply as in release.lua.
local held = redis.pcall('GET', lock)
if type(held) == 'table' and redis.call('TYPE', lock)['ok'] == 'string' then
  -- We may not read. That is not to say that it is not held.
  return held
end
-- No more than a comparison: what else stands behind `tn1:` is of our own making.
if type(held) ~= 'string' or string.find(held, mark, 1, true) ~= 1 then
  -- Shared, it is not for this script to give back.
  return type(held) == 'string' and string.sub(held, 1, 5) == 'tns1:' and 'shared' or 'not_held'
end
if redis.call('EXISTS', queue) == 0 then
  redis.call('DEL', lock)
  return 'freed'
end
