-- Deletes final records of one tick that refuse no claim any more.
-- KEYS[12]: bucket, KEYS[13]: outputs, KEYS[14..]: the history of each record's task.
-- ARGV: tick; for each record: field, place (the field without its task)
-- Reply: how many were deleted
-- One step, because whether the records still refuse claims must be judged as they go. A final
-- record never changes.
local bucket, outputs, gone = KEYS[12], KEYS[13], 0
local kept = call('HGET', bucket, 'k')
if tonumber(kept or '') and tonumber(kept) <= now then
  for item = 1, #KEYS - 13 do
    local a = 2 * item
    local state = string.sub(call('HGET', bucket, ARGV[a]) or 'w', 1, 1)
    if not string.find('wcr', state, 1, true) then
      call('HDEL', bucket, ARGV[a])
      call('HDEL', outputs, ARGV[a])
      call('ZREM', KEYS[13 + item], ARGV[1] .. '/' .. ARGV[a + 1])
      gone = gone + 1
    end
  end
  if call('HLEN', bucket) <= 2 then
    call('DEL', bucket, outputs)
    call('ZREM', TICKS, ARGV[1])
    call('ZREM', ENDS, ARGV[1])
  end
end
return gone
