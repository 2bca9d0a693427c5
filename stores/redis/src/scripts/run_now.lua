-- Reads the clock, the sequence and the epoch, which is made if there is none.
-- ARGV: epoch if there is none, whether to name who lives (1, 0)
-- Reply: {now_ms, sequence, epoch, losses, tags of living nodes}
-- One step, so that the four belong together.
local meta = call('HMGET', META, 'epoch', 'sequence', 'losses')
local sequence = counter(meta[2])
if not sequence then
  return broken_counters()
end
if not meta[1] then
  call('HSET', META, 'epoch', ARGV[1])
end
local tags = ARGV[2] == '1' and call('ZRANGEBYSCORE', ALIVE, '(' .. text(now), '+inf') or {}
return { now, text(sequence), meta[1] or ARGV[1], meta[3] or '0', tags }
