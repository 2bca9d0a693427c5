-- Grants a lock that is free and that nobody waits for, nor is barred from: what happens nearly always, so it stands before everything else
-- and does without the functions that the rest of the script shares.
-- KEYS and ARGV as in acquire.lua.
-- Reply: the fence alone, of 16 digits. It is the server's clock in microseconds, so it tells the time as well; the lease
-- lasts as long as was asked for.
-- Whoever waits is in both records, and a barred token in the second.
if redis.call('EXISTS', KEYS[1], KEYS[3]) == 0 then
  -- Text all the way: to make numbers of this text and text of numbers would cost as much as a command.
  local clock = redis.call('TIME')
  local micros = string.sub('000000', #clock[2] + 1) .. clock[2]
  local fence = clock[1] .. micros
  -- Before Redis 6.2 SET knows no GET, and the rest of the script does the same in two commands.
  local last = redis.pcall('SET', KEYS[4], fence, 'GET')
  -- Greater than every fence before it: by the clock if the counter was lost, and nearly always if it was not.
  if last == false
    or (type(last) == 'string' and #last == #fence and last < fence and not string.find(last, '%D')) then
    -- Not protected: a server that takes no writes says so itself.
    redis.call('SET', KEYS[1], 'tn1:' .. ARGV[1] .. ':' .. fence .. ':' .. clock[1] .. string.sub(micros, 1, 3) .. ':' .. ARGV[2], 'PX', ARGV[3])
    return fence
  end
  if type(last) == 'string' then
    -- The clock is behind the counter, or that holds no number: what follows counts on from it, or refuses.
    redis.call('SET', KEYS[4], last)
  end
end
