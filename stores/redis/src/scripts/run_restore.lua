-- Puts back runs that the server acknowledged and forgot, as a node remembers them.
-- KEYS[12..]: for each run: bucket, outputs, history of its task.
-- ARGV: holder, how many losses it knew of if it noticed this one itself (else nothing), epoch if
--   there is none, patience_ms, command and channel for hints; for each run: tick, -tick, field,
--   place (the field without its task), slot, mark, whether the holder had it itself (1, 0), state,
--   state if its node is not known, attempt, claimed_ms, fence, token, generation, crash, overlap,
--   keep_ms, reason (a JSON string), holder that had it, what it was asked with (a JSON string,
--   or nothing)
-- Reply: {'unknown'} if the node never beat, else {now_ms, sequence, epoch, losses, whether the
--   node was the first to tell of the loss (1, 0), then for each run 1 if it is put back, else 0}
-- One step a run, because what is put back must be missing, or behind, at that moment.
if not call('HGET', IDS, ARGV[1]) then
  return { 'unknown' }
end
local meta = call('HMGET', META, 'epoch', 'sequence', 'fence', 'losses', 'told_by')
local sequence, fence, losses = counter(meta[2]), counter(meta[3]), counter(meta[4])
if not sequence or not fence or not losses then
  return broken_counters()
end
local epoch, told_by, noticed = meta[1] or ARGV[3], meta[5] or '', tonumber(ARGV[2])
if noticed and losses <= noticed then
  losses, told_by = noticed + 1, ARGV[1]
end
local is_first = noticed and told_by == ARGV[1] and losses == noticed + 1
local runs = (#KEYS - 11) / 3
for item = 1, runs do
  fence = math.max(fence, tonumber(ARGV[20 * item - 2]) or 0)
end
call('HSET', META, 'epoch', epoch, 'sequence', text(sequence), 'fence', text(fence),
  'losses', text(losses), 'told_by', told_by)

local ACTIVE, WAITING = { c = true, r = true }, 'w'
-- The number of a node whose runs would be recovered when its lease ends.
local function number_of(holder)
  local tag = holder ~= '' and call('HGET', IDS, holder)
  return tag and call('ZSCORE', ALIVE, tag) and string.match(tag, '^%d+')
end

-- Whether what a node remembers replaces a record: the rule of the contract.
local function replaces(r, own, state, attempt, token)
  local kept = tonumber(r.attempt)
  local is_hearsay = kept > 0 and string.sub(r.fence, 1, 1) == '*'
  local is_same = r.token == token
  local has_ended = is_same and ACTIVE[r.state] and not ACTIVE[state]
  local has_begun = is_same and r.state == 'c' and state == 'r'
  return own and (kept < attempt or (kept == attempt and (is_hearsay or has_ended or has_begun)))
end

local answer = { now, text(sequence), epoch, text(losses), is_first and 1 or 0 }
local events, made = {}, 0
for item = 1, runs do
  local k, a = 3 * item + 9, 20 * item - 13
  local bucket, tick, field = KEYS[k], ARGV[a], ARGV[a + 2]
  local slot, mark, own, state = ARGV[a + 4], ARGV[a + 5], ARGV[a + 6] == '1', ARGV[a + 7]
  local attempt, claimed, token = ARGV[a + 9], ARGV[a + 10], ARGV[a + 12]
  local had = call('HMGET', bucket, field, 'n', 'k')
  local r = had[1] and read_record(had[1])
  answer[5 + item] = 0
  if not had[1] or (r and replaces(r, own, state, tonumber(attempt), token)) then
    local node, member = number_of(ARGV[a + 18]), tick .. '/' .. field
    state = node and state or ARGV[a + 8]
    local is_active, more = ACTIVE[state], 0
    if r then
      more = (ACTIVE[r.state] or r.state == WAITING) and -1 or 0
      if ACTIVE[r.state] then
        vacate(slot, mark .. '@' .. r.node)
      elseif r.state == WAITING then
        call('ZREM', DUE, due_flag(r.overlap) .. member)
        if r.attempt == '0' and mark == tick .. 's' then
          leave_line(slot, tick)
        end
      end
    else
      made = made + 1
    end
    local is_over = not is_active and state ~= WAITING
    local put = {
      state = state, ended = is_over and text(now) or '*', due = '*', exit = '*',
      out = r and r.out or '*', node = node or '*', since = claimed, attempt = attempt,
      claimed = claimed, started = state == 'r' and claimed or '*', fence = ARGV[a + 11],
      token = token, generation = ARGV[a + 13], crash = ARGV[a + 14], overlap = ARGV[a + 15],
      blocker = '*', reason = ARGV[a + 17],
      asked = r and r.asked ~= '' and r.asked or ARGV[a + 19], earlier = r and r.earlier or '',
    }
    if is_active then
      local beside, entry = call('HGET', SLOTS, slot), mark .. '@' .. node
      call('HSET', SLOTS, slot, beside and beside .. ' ' .. entry or entry)
    elseif state == WAITING then
      put.due = text(now + tonumber(ARGV[4]))
      call('ZADD', DUE, put.due, due_flag(put.overlap) .. member)
      if attempt == '0' and mark == tick .. 's' then
        local line = call('HGET', SLOTS, line_of(slot))
        call('HSET', SLOTS, line_of(slot), line and line .. ' ' .. tick or tick)
      end
    end
    more = more + (is_over and 0 or 1)
    local keep = now + tonumber(ARGV[a + 16])
    save(bucket, KEYS[k + 1], tick, had[2], had[3], more, keep, { field, write_record(put) })
    call('ZADD', KEYS[k + 2], ARGV[a + 1], tick .. '/' .. ARGV[a + 3])
    events[#events + 1], events[#events + 2] = tick, field
    answer[5 + item] = 1
  end
end
if made > 0 then
  count_made(made)
end
if #events > 0 then
  tell(events)
  hint(ARGV[5], ARGV[6])
end
return answer
