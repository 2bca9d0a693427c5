-- Hands a lock on to a waiter that is there and hears it: what happens nearly always where somebody waits. Stands behind
-- release_alone.lua, and does without the functions of lease.lua, because to make them costs as much as five commands.
-- KEYS, ARGV and reply as in release.lua. Whatever is not as usual is put back and left to what follows.
do
  local clock = redis.call('TIME')
  local micros = string.sub('000000', #clock[2] + 1) .. clock[2]
  local fence, now = clock[1] .. micros, clock[1] .. string.sub(micros, 1, 3)
  -- The removal comes first: after a write that does not grow, a full server lets the others pass.
  local head = redis.call('ZPOPMIN', KEYS[2])
  local next, score = head[1], head[2]
  local details = redis.call('HGET', KEYS[3], next or '')
  -- As lease.lua says: a holder of 32 digits, and then these.
  local ttl, deadline, publish, channel = string.match(details or '', '^ (%d+) (%d+) %d+ ([ps])(.*)$', 33)
  if ttl and tonumber(deadline) >= tonumber(now) then
    local last = redis.pcall('SET', KEYS[4], fence, 'GET')
    if last == false
      or (type(last) == 'string' and #last == #fence and last < fence and not string.find(last, '%D')) then
      if tonumber(ttl) > tonumber(ARGV[2]) then
        ttl = ARGV[2]
      end
      redis.call('SET', KEYS[1], 'tn1:' .. next .. ':' .. fence .. ':' .. now .. ':' .. string.sub(details, 1, 32), 'PX', ttl)
      local grant = 'g ' .. next .. ' ' .. fence .. ' ' .. now .. ' ' .. string.format('%.0f', now + ttl) .. ' ' .. KEYS[1]
      local heard = redis.pcall(publish == 's' and 'SPUBLISH' or 'PUBLISH', channel, grant)
      if type(heard) == 'number' and heard > 0 then
        redis.call('HDEL', KEYS[3], next)
        return 'handed'
      end
    elseif type(last) == 'string' then
      redis.call('SET', KEYS[4], last)
    end
  end
  if next then
    redis.call('ZADD', KEYS[2], score, next)
  end
end
