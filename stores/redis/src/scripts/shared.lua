-- What the scripts share that know of shared leases; stands behind lease.lua, before each of those that name six keys.
--
-- KEYS[5] E  the ends: a sorted set of the tokens that share the lock, scored by when the lease of each ends, in ms
-- KEYS[6] D  a hash from each of these tokens to "h HOLDER FENCE SINCE_MS EXPIRES_MS BEGUN", and from each waiting token that
--            wants to share to "w MODE". BEGUN is the FENCE in L, so that what is left of an earlier time means nothing
--
-- While it is shared, L is tns1:MODE:COUNT:FENCE:SINCE_MS and ends with the last of the leases, so that all other scripts and
-- all other programs find it held. MODE is `r` for readers, else the number of permits in force; COUNT is how many held it at
-- the last change; FENCE and SINCE_MS are those of the grant that found the lock free. E and D mean nothing unless L says so.
--
-- A step loads the lock, changes what is kept here, and saves it.
local E, D = KEYS[5], KEYS[6]
-- What was read last: see read_lock.
local lock = nil
-- How the lock stands: `free`, `shared`, or `held` by one, or by what we do not know.
local state, mode, count, begun, since = 'free', nil, 0, nil, nil

-- What a token wants that waits, or nil if that is a lock of its own.
local function want_of(token)
  return string.match(redis.call('HGET', D, token) or '', '^w (%w+)$')
end

-- Who holds a share that lasts: holder, fence, since, and when it ends; nil if the token has none.
local function share_of(token)
  local details = state == 'shared' and redis.call('HGET', D, token) or ''
  local holder, fence, from, ends, of = string.match(details, '^h (%x+) (%d+) (%d+) (%d+) (%d+)$')
  if not holder or of ~= begun or tonumber(ends) < now then
    return nil
  end
  return holder, fence, from, tonumber(ends)
end

-- When the share of a token ends, or nil if it has none.
local function end_of(token)
  return (select(4, share_of(token)))
end

-- Writes a share.
local function keep_share(token, holder, fence, from, ends)
  redis.call('ZADD', E, text(ends), token)
  redis.call('HSET', D, token, 'h ' .. holder .. ' ' .. fence .. ' ' .. from .. ' ' .. text(ends) .. ' ' .. begun)
end

-- Lets a share last for at least so long from now. Its fence and how long it lasts, or nil if the token has none.
local function prolong(token, ttl)
  local holder, fence, from, ends = share_of(token)
  if not holder then
    return nil
  end
  ends = math.max(ends, now + ttl)
  keep_share(token, holder, fence, from, ends)
  return fence, ends - now
end

-- Reads the lock, and ends the shares whose time is over.
local function load()
  lock = read_lock()
  state, mode, count = lock and 'held' or 'free', nil, 0
  if not (lock and lock.shared) then
    return
  end
  -- Without its ends we do not know whose it is: then it is left to end by itself.
  if redis.call('ZCARD', E) == 0 then
    return
  end
  state, mode, begun, since = 'shared', lock.shared, lock.fence, lock.since
  for _ = 1, 256 do
    local first, over = redis.call('ZRANGE', E, 0, 15, 'WITHSCORES'), {}
    for i = 1, #first, 2 do
      if tonumber(first[i + 1]) < now then
        over[#over + 1] = first[i]
      end
    end
    if #over == 0 then
      break
    end
    redis.call('ZREM', E, unpack(over))
    redis.call('HDEL', D, unpack(over))
  end
  count = redis.call('ZCARD', E)
  if count == 0 then
    state, mode = 'free', nil
  end
end

-- Whether a lock may be granted to one who wants this, when so many may share it.
local function has_room(want, most)
  if state == 'free' then
    return true
  end
  if state ~= 'shared' or not want then
    return false
  end
  if want == 'r' or mode == 'r' then
    return want == mode
  end
  return count < tonumber(most)
end

-- Adds a share. The first one says how the lock is shared.
local function admit(token, holder, ttl, fence, from, want)
  if state == 'free' then
    -- Left behind when the lock was deleted or ended; they are many only if very many shared it.
    local old = redis.call('ZRANGE', E, 0, 1023)
    if old[1] then
      redis.call('HDEL', D, unpack(old))
      redis.call('DEL', E)
    end
    state, mode, count, begun, since = 'shared', want, 0, fence, from
  end
  keep_share(token, holder, fence, from, now + ttl)
  count = count + 1
end

-- Takes a share away.
local function dismiss(token)
  redis.call('ZREM', E, token)
  redis.call('HDEL', D, token)
  count = count - 1
  if count <= 0 then
    state, mode = 'free', nil
  end
end

-- What the last of those says who stand first in line and want permits, if `first` wants one.
local function limit_of_run(first)
  local limit = first
  if first == 'r' then
    return first
  end
  for _, token in ipairs(redis.call('ZRANGE', Q, 0, 255)) do
    local waiter = waiter_of(token)
    if waiter and waiter.deadline >= now then
      local want = want_of(token)
      if not want or want == 'r' then
        break
      end
      limit = want
    end
  end
  return limit
end

-- Makes a lock that was handed to one who wants to share it what that one wants. For how long it is its own.
local function open(token, holder, ttl, want)
  local left = math.max(redis.call('PTTL', L), ttl)
  state = 'free'
  admit(token, holder, left, lock.fence, lock.since, limit_of_run(want))
  return left
end

-- Puts a waiter back whom we have no right to tell.
local function put_back(token, score, waiter, want)
  dismiss(token)
  redis.call('ZADD', Q, score, token)
  redis.call('HSET', W, token, waiter.details)
  redis.call('HSET', D, token, 'w ' .. want)
  redis.call('PEXPIRE', Q, waiter.deadline - now + 1000)
  keep_waiters(waiter.deadline - now + 1000)
end

-- Grants the lock to the first in line, one after the other, as long as each goes with those that have it. `own`, who asks at
-- this moment, is granted it for `own_ttl`; all others are told. Whether anybody was granted it; the fence of `own`, if that
-- was; and whether too many dead stand in the way.
local function serve(claim_window, own, own_ttl)
  local is_any, own_fence = false, nil
  for _ = 1, 64 do
    local head = redis.call('ZRANGE', Q, 0, 0, 'WITHSCORES')
    local token = head[1]
    if not token then
      return is_any, own_fence, false
    end
    local waiter, want = waiter_of(token), want_of(token)
    if not waiter or waiter.deadline < now then
      forget(token)
      redis.call('HDEL', D, token)
    elseif not has_room(want, mode) then
      return is_any, own_fence, false
    elseif not want then
      local outcome = hand_on(claim_window)
      if outcome == 'handed' then
        state = 'held'
      end
      return is_any or outcome == 'handed', own_fence, outcome == 'more'
    else
      local fence = raise_fence()
      if not fence then
        return is_any, own_fence, false
      end
      local limit = state == 'free' and limit_of_run(want) or mode
      forget(token)
      local ttl = token == own and own_ttl or math.min(waiter.ttl, claim_window)
      admit(token, waiter.holder, ttl, fence, now_text, limit)
      if token == own then
        is_any, own_fence = true, fence
      elseif waiter.channel == '' then
        is_any = true
      else
        local heard = tell(waiter, token, fence, now + ttl, 'j')
        if heard == nil then
          put_back(token, head[2], waiter, want)
          return is_any, own_fence, false
        end
        if heard > 0 then
          is_any = true
        else
          dismiss(token)
        end
      end
    end
  end
  return is_any, own_fence, true
end

-- Writes what became of the lock, unless it was handed to one.
local function save()
  if state == 'shared' then
    local last = redis.call('ZREVRANGE', E, 0, 0, 'WITHSCORES')
    local ends = tonumber(last[2])
    redis.call('SET', L, 'tns1:' .. mode .. ':' .. text(count) .. ':' .. begun .. ':' .. since, 'PX', text(math.max(ends - now, 1)))
    redis.call('PEXPIREAT', L, text(ends))
    redis.call('PEXPIREAT', E, text(ends))
    if redis.call('PTTL', D) < ends - now then
      redis.call('PEXPIREAT', D, text(ends))
    end
  elseif state == 'free' then
    redis.call('DEL', L, E)
    if redis.call('EXISTS', Q) == 0 then
      redis.call('DEL', D)
    end
  end
end
