-- Hands a lock on to a waiter that is there and hears it: what happens nearly always where somebody waits. Stands behind
-- release_alone.lua, and does without the functions of lease.lua, because to make them costs as much as five commands.
-- KEYS, ARGV and reply as in release.lua. Whatever is not as usual is put back and left to what follows.
-- Nobody has the lock while this runs, so it counts every step: no patterns where a place is known, no numbers made of text
-- or text of numbers.
do
  local call, sub = redis.call, string.sub
  local clock = call('TIME')
  local seconds, micros = clock[1], clock[2]
  if #micros < 6 then
    micros = sub('000000', #micros + 1) .. micros
  end
  local fence, now = seconds .. micros, seconds .. sub(micros, 1, 3)
  -- The removal comes first: after a write that does not grow, a full server lets the others pass.
  local head = call('ZPOPMIN', KEYS[2])
  local next = head[1]
  local details = next and call('HGET', KEYS[3], next)
  -- As lease.lua says: a holder of 32 digits, the ttl, and then two times of 13 digits each and how to push.
  local gap = details and string.find(details, ' ', 34, true)
  if gap and sub(details, gap + 14, gap + 14) == ' ' and sub(details, gap + 28, gap + 28) == ' '
    and sub(details, gap + 1, gap + 13) >= now and #details > gap + 29 then
    local ttl, window = sub(details, 34, gap - 1), ARGV[2]
    if #ttl > #window or (#ttl == #window and ttl > window) then
      ttl = window
    end
    local last = redis.pcall('SET', KEYS[4], fence, 'GET')
    if last == false
      or (type(last) == 'string' and #last == #fence and last < fence and not string.find(last, '%D')) then
      local held = 'tn1:' .. next .. ':' .. fence .. ':' .. now .. ':' .. sub(details, 1, 32)
      local written = redis.pcall('SET', KEYS[1], held, 'PX', ttl)
      local publish, channel, is_here = 'PUBLISH', sub(details, gap + 30), true
      if sub(details, gap + 29, gap + 29) == 's' then
        -- As lease.lua says of those who hear it at a replica.
        publish, is_here = 'SPUBLISH', redis.pcall('PUBSUB', 'SHARDNUMSUB', channel)[2] ~= 0
      end
      -- The fence tells the time as well.
      local grant = 'h ' .. next .. ' ' .. fence .. ' ' .. ttl .. ' ' .. KEYS[1]
      local heard = is_here and not written['err'] and redis.pcall(publish, channel, grant)
      if type(heard) == 'number' and heard > 0 then
        call('HDEL', KEYS[3], next)
        return 'handed'
      end
    elseif type(last) == 'string' then
      call('SET', KEYS[4], last)
    end
  end
  if next then
    call('ZADD', KEYS[2], head[2], next)
  end
end
