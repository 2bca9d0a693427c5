-- Answers for a lock that somebody else of ours holds, and takes or keeps a place in the queue if one is asked for: what
-- happens nearly always when a lock is not free. Stands behind acquire_free.lua, and does without the functions of
-- lease.lua, because to make them costs as much as five commands.
-- KEYS, ARGV and reply as in acquire.lua. Whatever is not as usual is left to what follows, before anything is written.
repeat
  local value = redis.pcall('GET', KEYS[1])
  local fence, since, held_by = string.match(type(value) == 'string' and value or '', '^tn1:%x+:(%d+):(%d+):(%x+)$')
  local keep, most, channel = string.match(ARGV[4], '^(%d+) %d+ (%d+) (.*)$')
  keep, most = tonumber(keep), tonumber(most)
  if not fence or string.find(value, ARGV[1], 5, true) == 5 then
    break
  end
  local clock = redis.call('TIME')
  local micros = string.sub('000000', #clock[2] + 1) .. clock[2]
  local arrival, now = clock[1] .. micros, clock[1] .. string.sub(micros, 1, 3)
  -- Read beside the clock: the first in line reckons from both when the lease ends.
  local left = redis.call('PTTL', KEYS[1])
  local length = redis.call('ZCARD', KEYS[2])
  if keep == 0 then
    return { 'held', arrival, left, 0, length, { 'ours', held_by, fence, since } }
  end
  local known = redis.call('HGET', KEYS[3], ARGV[1])
  local had_until, had_since = string.match(known or '', '^ %d+ (%d+) (%d+) ', 33)
  if known and not (had_until and tonumber(had_until) >= tonumber(now)) then
    break
  end
  if length > 0 then
    -- The places of the dead are cleared away from the head.
    local head = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
    local deadline = string.match(redis.call('HGET', KEYS[3], head) or '', '^ %d+ (%d+)', 33)
    if not deadline or tonumber(deadline) < tonumber(now) then
      break
    end
  end
  local position = known and redis.call('ZRANK', KEYS[2], ARGV[1])
  if known and not position then
    break
  end
  if not known then
    local last = length > 0 and redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] or '0000000000000000'
    if length >= most or #last ~= #arrival or last >= arrival
      or redis.call('ZADD', KEYS[2], 'NX', arrival, ARGV[1]) == 0 then
      break
    end
    position, length = length, length + 1
  end
  local lasts = string.format('%.0f', now + keep)
  redis.call('HSET', KEYS[3], ARGV[1],
    ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. lasts .. ' ' .. (had_since or now) .. ' ' .. channel)
  -- Both vanish when the last place has lapsed; so much later that not every waiter has to put it off.
  if redis.call('PTTL', KEYS[2]) < keep + 1000 then
    redis.call('PEXPIRE', KEYS[2], keep + 2000)
    if redis.call('PTTL', KEYS[3]) < keep + 2000 then
      redis.call('PEXPIRE', KEYS[3], keep + 2000)
    end
  end
  return { 'held', arrival, left, position + 1, length, { 'ours', held_by, fence, since } }
until true
