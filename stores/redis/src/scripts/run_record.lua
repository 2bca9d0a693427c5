-- Records, and the buckets and slots they are in; stands behind run_base.lua.
--
-- A record is one line, then the reason as a JSON string, then what it was asked with if it was,
-- as a JSON string, then a line for each earlier attempt, oldest first:
--   STATE ENDED DUE EXIT OUT NODE SINCE ATTEMPT CLAIMED STARTED FENCE+OFFSET TOKEN GENERATION
--     CRASH OVERLAP BLOCKER
--   0 w * * 0 * ASKED
--   ATTEMPT STATE NODE STARTED ENDED TOKEN REASON
-- An older tenure kept who asked as the reason until the run ended badly, and takes ASKED for the
-- reason of an attempt, which it keeps.
-- What is not there is `*`; CLAIMED and ENDED `=` are SINCE, STARTED `=` is CLAIMED. STATE is one
-- letter: w waiting, c claimed, r running, s succeeded, f failed, t timed out, x cancelled, i
-- interrupted, l lost, k skipped, m missed. OUT is o if output is kept. CRASH is l (lose) or the
-- most attempts, OVERLAP s (skip), a (allow), q (queue one), QMAX (queue all) or x (cancel other),
-- with +RUNS/INDICES behind it if there is a limit. BLOCKER is what keeps a run back that waits or
-- was skipped: the mark of the run in its way, `limit`, `full`, or > and the mark of the newer run
-- that replaced it.
--
-- A bucket is a hash of the records of one tick, and besides `n`, how many are not final, and `k`,
-- until when it is needed to refuse claims. While `n` is not 0 it does not expire.
local RECORD = '^(%a) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%d+) '
  .. '(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)(.*)$'
local HOUR = 3600000
-- How long the records of a tick stay after the last of its runs ended, and how many there are at
-- most, roughly: where very many are made, they stay shorter.
local HISTORY, MOST_RECORDS = 30 * 24 * HOUR, 300000
-- What stands before what a run was asked with.
local ASKED = '\n0 w * * 0 * '
-- How much is kept of earlier attempts.
local ATTEMPTS_BYTES = 16384

local function read_record(value)
  local r = {}
  r.state, r.ended, r.due, r.exit, r.out, r.node, r.since, r.attempt, r.claimed, r.started,
    r.fence, r.token, r.generation, r.crash, r.overlap, r.blocker, r.rest =
    string.match(value, RECORD)
  if not r.state then
    return nil
  end
  if r.claimed == '=' then r.claimed = r.since end
  if r.started == '=' then r.started = r.claimed end
  if r.ended == '=' then r.ended = r.since end
  -- The reason, what it was asked with, and the earlier attempts; each begins with a line break.
  r.reason, r.earlier = string.match(r.rest, '^\n([^\n]*)(.*)$')
  r.reason, r.earlier, r.asked = r.reason or '', r.earlier or '', ''
  if string.sub(r.earlier, 1, #ASKED) == ASKED then
    r.asked, r.earlier = string.match(r.earlier, '^([^\n]*)(.*)$', #ASKED + 1)
  end
  return r
end

local function write_record(r)
  local claimed = r.claimed == r.since and '=' or r.claimed
  local started = r.started == r.claimed and r.started ~= '*' and '=' or r.started
  local head = table.concat({ r.state, r.ended, r.due, r.exit, r.out, r.node, r.since, r.attempt,
    claimed, started, r.fence, r.token, r.generation, r.crash, r.overlap, r.blocker }, ' ')
  local asked = r.asked ~= '' and ASKED .. r.asked or ''
  if r.reason == '' and asked == '' and r.earlier == '' then
    return head
  end
  return head .. '\n' .. r.reason .. asked .. r.earlier
end

-- What stands before a run in DUE, by how its record keeps overlap and limit.
local function due_flag(rule)
  local flag, limit = string.sub(rule, 1, 1) == 'a' and 'a' or 's', string.match(rule, '%+.*$')
  return limit and flag .. limit .. ' ' or flag
end

-- The limit of a rule: how many runs, of how many indices.
local function limit_of(rule)
  local runs, indices = string.match(rule, '%+(%d+)/(%d+)$')
  return tonumber(runs), tonumber(indices)
end

-- How many runs of a task are in hand, and how many of them are scheduled.
local function in_hand_of(task, indices)
  local all, scheduled = 0, 0
  for index = 1, indices do
    local runs = call('HGET', SLOTS, 's' .. index .. ':' .. task)
    for run in string.gmatch(runs or '', '%S+') do
      all = all + 1
      scheduled = string.find(run, '^%-?%d+s@') and scheduled + 1 or scheduled
    end
  end
  return all, scheduled
end

-- Where the ticks stand that wait in line for a slot.
local function line_of(slot)
  return 'w' .. string.sub(slot, 2)
end

-- The reason of a run that was cancelled by this request, as a JSON string; `behind` follows it.
local function cancel_reason(request, behind)
  local words = cjson.decode(request)
  local why = words.why ~= '' and ': ' .. words.why or ''
  return cjson.encode('cancelled by ' .. words.by .. why .. (behind or ''))
end

-- Files the attempt that is over and lets the run wait for another.
local function wait_again(r, over, token, reason, due, member)
  local line = table.concat({ r.attempt, over, r.node, r.started, text(now), token, reason }, ' ')
  r.earlier = r.earlier .. '\n' .. line
  while #r.earlier > ATTEMPTS_BYTES and string.find(r.earlier, '\n', 2, true) do
    r.earlier = string.match(r.earlier, '^\n[^\n]*(.*)$')
  end
  r.state, r.due, r.started, r.ended = 'w', text(due), '*', '*'
  call('ZADD', DUE, r.due, due_flag(r.overlap) .. member)
end

-- Of the runs in a slot: the mark of a scheduled one, or of any.
local function scheduled_in(runs)
  return string.match(' ' .. runs, ' (%-?%d+s)@')
end

local function any_in(runs)
  return string.match(runs, '^([^@]*)@')
end

-- A slot without one of its runs; nil if none is left.
local function without(runs, entry)
  local left = {}
  for run in string.gmatch(runs, '%S+') do
    if run ~= entry then
      left[#left + 1] = run
    end
  end
  if #left == 0 then
    return nil
  end
  return table.concat(left, ' ')
end

-- Takes a tick out of the line of a slot.
local function leave_line(slot, tick)
  local ticks = call('HGET', SLOTS, line_of(slot))
  local left = ticks and without(ticks, tick)
  if left then
    call('HSET', SLOTS, line_of(slot), left)
  elseif ticks then
    call('HDEL', SLOTS, line_of(slot))
  end
end

local function vacate(slot, entry)
  local runs = call('HGET', SLOTS, slot)
  local left = runs and without(runs, entry)
  if left then
    call('HSET', SLOTS, slot, left)
  elseif runs then
    call('HDEL', SLOTS, slot)
  end
end

-- How many records were made: today, yesterday, in this hour and in the one before.
local function made_lately()
  local kept = call('HMGET', META, 'hour', 'made', 'before', 'today', 'yesterday')
  for at = 1, 5 do
    kept[at] = tonumber(kept[at] or '') or 0
  end
  local was, made, before, today, yesterday = unpack(kept)
  local hour = math.floor(now / HOUR)
  if was ~= hour then
    made, before = 0, was == hour - 1 and made or 0
  end
  local days = math.floor(hour / 24) - math.floor(was / 24)
  if days ~= 0 then
    today, yesterday = 0, days == 1 and today or 0
  end
  return today, yesterday, made, before, hour
end

-- Notes that records were made, so that their number can be bounded.
local function count_made(more)
  local today, yesterday, made, before, hour = made_lately()
  call('HSET', META, 'hour', text(hour), 'made', text(made + more), 'before', text(before),
    'today', text(today + more), 'yesterday', text(yesterday))
end

-- How long records stay after their tick's last run ended: as long as about so many of them fit.
local life_ms
local function life()
  if not life_ms then
    local today, yesterday, made, before = made_lately()
    local a_day = math.max(today, yesterday, 1)
    if today > 2 * yesterday then
      -- Nothing is known of such a day, so the hour is taken for the measure.
      a_day = math.max(a_day, 24 * math.max(made, before))
    end
    life_ms = math.min(HISTORY, math.floor(MOST_RECORDS / a_day * 24 * HOUR))
  end
  return life_ms
end

-- Writes records into a bucket. `n` and `k` are what it held, `more` how many more are not final
-- now, `keep` until when it must stay.
local function save(bucket, outputs, tick, n, k, more, keep, sets)
  local left = math.max((tonumber(n or '') or 0) + more, 0)
  keep = math.max(tonumber(k or '') or 0, keep)
  local last = #sets
  sets[last + 1], sets[last + 2], sets[last + 3], sets[last + 4] = 'n', text(left), 'k', text(keep)
  call('HSET', bucket, unpack(sets))
  if not n then
    call('ZADD', TICKS, tick, tick)
  end
  if left == 0 then
    local ends = text(math.max(keep, now + life()))
    call('PEXPIREAT', bucket, ends)
    call('PEXPIREAT', outputs, ends)
    call('ZADD', ENDS, ends, tick)
  elseif not n or n == '0' then
    call('PERSIST', bucket)
    call('PERSIST', outputs)
    call('ZREM', ENDS, tick)
  end
end

-- Forgets ticks whose records are gone.
local function sweep()
  local gone = call('ZRANGEBYSCORE', ENDS, '-inf', '(' .. text(now), 'LIMIT', '0', '32')
  if #gone > 0 then
    call('ZREM', TICKS, unpack(gone))
    call('ZREM', ENDS, unpack(gone))
  end
end
