-- Shows who has the lock and who waits.
-- ARGV: the most waiters to show
-- Reply: {now_ms, expires_at_ms (-1: never), occupant | '', mark | '', length, {waiters, each "HOLDER TTL DEADLINE SINCE CHANNEL"}}
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
        waiters[#waiters + 1] = waiter.details
      end
    end
  end
  from = from + 256
end
length = length + math.max(count - from, 0)
if not lock then
  return { now, -2, '', '', length, waiters }
end
-- Exactly what was set, where the server can say it (Redis 7.0); else to a millisecond.
local expires = redis.pcall('PEXPIRETIME', L)
if type(expires) ~= 'number' then
  expires = redis.call('PTTL', L)
  if expires >= 0 then
    expires = now + expires
  end
end
return { now, expires, occupant(lock), mark_of(lock), length, waiters }
