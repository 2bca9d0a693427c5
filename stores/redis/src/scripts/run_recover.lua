-- Takes runs from nodes that are gone: the last part of a recovery.
-- KEYS[12]: what this request answered already; KEYS[13]: CANCELS; KEYS[14..]: for each run: bucket,
--   outputs.
-- ARGV: command and channel for hints, grace_ms, nodes; for each node: tag, whether its runs named
--   here are all it has (1, 0); for each run: number of its node, tick, field, slot, mark, reason
--   (a JSON string)
-- Reply: {now_ms, n, tags of n nodes whose end was not seen before, then number of the run, its
--   lost attempt, the state that was in, its record, …}. A broken record is left where it is, and
--   answered with attempt 0 and state b.
-- One step, because a node that comes back in the meantime must keep its runs, and each lost run
-- must be reported once.
local before = call('LRANGE', KEYS[12], '0', '-1')
if #before > 0 then
  return before
end
local answer, events, rows = { text(now), '0' }, {}, {}
local count = tonumber(ARGV[4])
local gone, numbers = {}, {}
for node = 1, count do
  local tag = ARGV[3 + 2 * node]
  local ends = call('ZSCORE', ALIVE, tag)
  numbers[node] = string.match(tag, '^%d+') or ''
  local details = call('HGET', NODES, numbers[node])
  gone[node] = ends and tonumber(ends) <= now - tonumber(ARGV[3])
  if gone[node] and details and string.sub(details, 1, 1) == 'a' then
    call('HSET', NODES, numbers[node], 'x' .. string.sub(details, 2))
    events[#events + 1], events[#events + 2] = 'lost', numbers[node]
    answer[#answer + 1] = tag
  end
end
answer[2] = text(#answer - 2)

local function tell_run(item, attempt, state, record)
  for _, part in ipairs({ text(item), attempt, state, record }) do
    rows[#rows + 1] = part
  end
end

local at = 5 + 2 * count
for item = 1, (#KEYS - 13) / 2 do
  local a = at + 6 * (item - 1)
  local node, tick, field = tonumber(ARGV[a]), ARGV[a + 1], ARGV[a + 2]
  local bucket, outputs = KEYS[12 + 2 * item], KEYS[13 + 2 * item]
  local had = gone[node] and call('HMGET', bucket, field, 'n', 'k') or {}
  local r = had[1] and read_record(had[1])
  if had[1] and not r then
    gone[node] = false
    tell_run(item, '0', 'b', '')
  elseif gone[node] then
    vacate(ARGV[a + 3], ARGV[a + 4] .. '@' .. numbers[node])
  end
  if r and r.node == numbers[node] and (r.state == 'c' or r.state == 'r') then
    local state, attempt = r.state, r.attempt
    local may_retry = tonumber(r.crash) and tonumber(attempt) < tonumber(r.crash)
    local over, request = 0, ARGV[a + 3] .. '\0' .. ARGV[a + 4]
    local asked = call('HGET', KEYS[13], request)
    if asked then
      call('HDEL', KEYS[13], request)
    end
    if asked and (may_retry or state == 'c') then
      r.reason = cancel_reason(asked, '; ' .. cjson.decode(ARGV[a + 5]))
      r.state, r.ended, over = 'x', text(now), 1
    elseif may_retry or state == 'c' then
      -- What was claimed and did not begin provably never ran.
      wait_again(r, 'l', '*', ARGV[a + 5], now, tick .. '/' .. field)
    else
      r.state, r.ended, r.reason, over = 'l', text(now), ARGV[a + 5], 1
    end
    -- By its token a late end would be taken for the attempt's own.
    r.token = '*'
    local written = write_record(r)
    save(bucket, outputs, tick, had[2], had[3], -over, 0, { field, written })
    events[#events + 1], events[#events + 2] = tick, field
    tell_run(item, attempt, state, written)
  end
end
for node = 1, count do
  if gone[node] and ARGV[4 + 2 * node] == '1' then
    call('ZREM', ALIVE, ARGV[3 + 2 * node])
  end
end
for _, part in ipairs(rows) do
  answer[#answer + 1] = part
end
if #answer > 2 then
  call('RPUSH', KEYS[12], unpack(answer))
  call('PEXPIRE', KEYS[12], '60000')
  tell(events)
  hint(ARGV[1], ARGV[2])
end
return answer
