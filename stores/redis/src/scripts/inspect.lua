-- Shows who has the lock and who waits.
-- KEYS: see lease.lua and shared.lua. It changes nothing, so what is over is left out here.
-- ARGV: the most waiters and the most sharers to show
-- Reply: {now_ms, expires_at_ms (-1: never), occupant | '', mark | '', length, {waiters, each "MODE HOLDER TTL DEADLINE SINCE
--        CHANNEL", MODE being `x` for a lock of its own}, {sharers, each "TOKEN h HOLDER FENCE SINCE_MS EXPIRES_MS BEGUN"}}
local lock = read_lock()
local waiters, length = {}, 0
local most = tonumber(ARGV[1])
local count = redis.call('ZCARD', Q)
local from = 0
-- Of a very long queue the rest is counted without a look.
while from < math.min(count, 4096) do
  for _, token in ipairs(redis.call('ZRANGE', Q, from, from + 255)) do
    local waiter = waiter_of(token)
    if waiter and waiter.deadline >= now then
      length = length + 1
      if #waiters < most then
        local want = string.match(redis.call('HGET', KEYS[6], token) or '', '^w (%w+)$')
        waiters[#waiters + 1] = (want or 'x') .. ' ' .. waiter.details
      end
    end
  end
  from = from + 256
end
length = length + math.max(count - from, 0)
if not lock then
  return { now, -2, '', '', length, waiters, {} }
end
local sharers = {}
if lock.shared then
  local ends = redis.call('ZRANGE', KEYS[5], 0, 4095, 'WITHSCORES')
  local over = 0
  for i = 1, #ends, 2 do
    if tonumber(ends[i + 1]) < now then
      over = over + 1
    elseif #sharers < most then
      sharers[#sharers + 1] = ends[i] .. ' ' .. (redis.call('HGET', KEYS[6], ends[i]) or '')
    end
  end
  lock.count = text(redis.call('ZCARD', KEYS[5]) - over)
end
-- Exactly what was set, where the server can say it (Redis 7.0); else to a millisecond.
local expires = redis.pcall('PEXPIRETIME', L)
if type(expires) ~= 'number' then
  expires = redis.call('PTTL', L)
  if expires >= 0 then
    expires = now + expires
  end
end
return { now, expires, occupant(lock), mark_of(lock), length, waiters, sharers }
