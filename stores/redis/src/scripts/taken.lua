-- Stands before the scripts that take a lock by force.

-- Tells the holder of a lock that is taken from it. Where it listens is not written in the lock, so all clients are told,
-- and those that do not hold it pay no heed. Without the right to speak, it learns at its next renewal.
local function tell_of_loss(lock)
  if lock.token then
    redis.pcall('PUBLISH', 'tenure:taken', 't ' .. lock.token .. ' ' .. L)
  end
end

