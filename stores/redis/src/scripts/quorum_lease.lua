-- What the scripts for one of several independent servers share; stands behind lease.lua.
--
-- A server of a quorum decides nothing by its queue, because queues on several servers would each choose another head. The
-- queue only says whom to tell first when the lock comes free.

-- Tells the first live waiter that this server is free again; it keeps its place until it is granted a majority.
local function tell_of_release(freed)
  for _ = 1, 64 do
    local token = redis.call('ZRANGE', Q, 0, 0)[1]
    if not token then
      return
    end
    local waiter = waiter_of(token)
    if waiter and waiter.deadline >= now then
      if waiter.channel == '' then
        return
      end
      local command = string.sub(waiter.channel, 1, 1) == 's' and 'SPUBLISH' or 'PUBLISH'
      local message = 'f ' .. token .. ' ' .. freed .. ' ' .. L
      local heard = redis.pcall(command, string.sub(waiter.channel, 2), message)
      if type(heard) ~= 'number' or heard > 0 then
        return
      end
    end
    forget(token)
  end
end

-- Takes or keeps a place in the queue, at `score` if one is given and if no more than `most` are there. Replies the position
-- and the length; without a place nil and the length.
local function take_place(token, holder, ttl, keep, channel, most, score)
  skip_lapsed()
  local since = text(now)
  local known = waiter_of(token)
  if known and known.deadline >= now then
    since = known.since
  elseif known then
    -- A place that has ended is begun again at the end of the queue.
    forget(token)
  end
  local rank = redis.call('ZRANK', Q, token)
  if not rank then
    local length = redis.call('ZCARD', Q)
    if length >= tonumber(most) then
      return nil, length
    end
    if score == '' then
      local last = redis.call('ZREVRANGE', Q, 0, 0, 'WITHSCORES')
      local arrival = now_us
      if last[2] and tonumber(last[2]) >= arrival then
        arrival = tonumber(last[2]) + 1
      end
      score = text(arrival)
    end
    redis.call('ZADD', Q, score, token)
    rank = redis.call('ZRANK', Q, token)
  end
  redis.call('HSET', W, token, holder .. ' ' .. ttl .. ' ' .. text(now + keep) .. ' ' .. since .. ' ' .. channel)
  -- Both vanish when the last place has lapsed.
  if redis.call('PTTL', Q) < keep + 1000 then
    redis.call('PEXPIRE', Q, keep + 1000)
    keep_waiters(keep + 1000)
  end
  return rank + 1, redis.call('ZCARD', Q)
end
