-- Grants a lock that is free and that nobody waits for: what happens nearly always, so it stands before everything else
-- and does without the functions that the rest of the script shares.
-- KEYS, ARGV and reply as in acquire.lua.
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then
  local clock = redis.call('TIME')
  local now_us = clock[1] * 1000000 + clock[2]
  local last = redis.pcall('GET', KEYS[4])
  local number = 0
  if last then
    number = type(last) == 'string' and tonumber(last)
  end
  if number and number >= 0 and number < 9007199254740991 and number == math.floor(number) then
    -- Greater than every fence before it: by the counter while it lives, by the clock if it was lost.
    if number >= now_us then
      now_us = number + 1
    end
    local fence = string.format('%.0f', now_us)
    local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    -- Not protected: a server that takes no writes says so itself.
    redis.call('SET', KEYS[4], fence)
    redis.call('SET', KEYS[1], 'tn1:' .. ARGV[1] .. ':' .. fence .. ':' .. string.format('%.0f', now) .. ':' .. ARGV[2], 'PX', ARGV[3])
    return { 'granted', now, fence, ARGV[3] }
  end
end
