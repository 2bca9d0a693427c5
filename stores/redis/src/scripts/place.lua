-- Stands behind lease.lua, before the scripts that give places in the queue.

-- Takes a place for a token, or keeps the one it has. Its position and whether it is new; or nil, if there are too many.
local function take_place(token, holder, ttl, keep, most, channel)
  skip_lapsed()
  local from = text(now)
  local known = waiter_of(token)
  if known and known.deadline >= now then
    from = known.since
  elseif known then
    -- A place that has ended is begun again at the end of the queue.
    forget(token)
  end
  local rank = redis.call('ZRANK', Q, token)
  local is_new = not rank
  if is_new then
    if redis.call('ZCARD', Q) >= tonumber(most) then
      return nil
    end
    local last = redis.call('ZREVRANGE', Q, 0, 0, 'WITHSCORES')
    local arrival = now_us
    if last[2] and tonumber(last[2]) >= arrival then
      arrival = tonumber(last[2]) + 1
    end
    redis.call('ZADD', Q, text(arrival), token)
    rank = redis.call('ZCARD', Q) - 1
  end
  redis.call('HSET', W, token, holder .. ' ' .. ttl .. ' ' .. text(now + keep) .. ' ' .. from .. ' ' .. channel)
  -- Both vanish when the last place has lapsed.
  if redis.call('PTTL', Q) < keep + 1000 then
    redis.call('PEXPIRE', Q, keep + 1000)
    keep_waiters(keep + 1000)
  end
  return rank + 1, is_new
end
