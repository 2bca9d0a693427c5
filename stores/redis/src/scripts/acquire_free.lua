-- Grants a lock that is free and that nobody waits for, nor is barred from: what happens nearly always, so it stands before
-- everything else and does without the functions that the rest of the script shares. Behind acquire_named.lua or
-- acquire_packed.lua, which name the keys, the ttl, and what stands before and behind the times in the lock's value.
-- Reply: the fence alone, of 16 digits. It is the server's clock in microseconds, so it tells the time as well; the lease
-- lasts as long as was asked for.
-- Whoever waits is in both records, and a barred token in the second.
if redis.call('EXISTS', lock, waiters) == 0 then
  -- Text all the way: to make numbers of this text and text of numbers would cost as much as a command.
  local clock = redis.call('TIME')
  local micros = clock[2]
  if #micros < 6 then
    micros = sub('000000', #micros + 1) .. micros
  end
  local fence = clock[1] .. micros
  -- Before Redis 6.2 SET knows no GET, and the rest of the script does the same in two commands.
  local last = redis.pcall('SET', counter, fence, 'GET')
  -- Greater than every fence before it: by the clock if the counter was lost, and nearly always if it was not.
  if last == false
    or (type(last) == 'string' and #last == #fence and last < fence and not string.find(last, '%D')) then
    -- Not protected: a server that takes no writes says so itself.
    redis.call('SET', lock, mark .. fence .. ':' .. sub(fence, 1, 13) .. tail, 'PX', ttl)
    return fence
  end
  if type(last) == 'string' then
    -- The clock is behind the counter, or that holds no number: what follows counts on from it, or refuses.
    redis.call('SET', counter, last)
  end
end
