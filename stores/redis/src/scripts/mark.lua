
-- What tells this holding from every other, for an operator. A foreign value is not shown, so it is hashed.
local function mark_of(lock)
  if lock.token then
    return lock.value
  end
  if lock.shared then
    return 'shared:' .. lock.fence
  end
  if lock.value then
    return 'foreign:' .. redis.sha1hex(lock.value)
  end
  return 'foreign:' .. lock.what
end
