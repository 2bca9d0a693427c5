-- Gives back a lock that nobody waits for: what happens nearly always.
-- KEYS, ARGV and reply as in release.lua.
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'table' and redis.call('TYPE', KEYS[1])['ok'] == 'string' then
  -- We may not read. That is not to say that it is not held.
  return held
end
-- Behind `tn1:`, and no more than a comparison: what else stands there is of our own making.
if type(held) ~= 'string' or string.find(held, ARGV[1], 5, true) ~= 5 or string.sub(held, 1, 4) ~= 'tn1:' then
  -- Shared, it is not for this script to give back.
  return type(held) == 'string' and string.sub(held, 1, 5) == 'tns1:' and 'shared' or 'not_held'
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1])
  return 'freed'
end
