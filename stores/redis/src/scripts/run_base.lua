-- What all run scripts share; stands first in each of them.
--
-- Every key of a namespace carries the tag {NAMESPACE}, so that all share one slot. The first
-- eleven are the same in every run script:
-- KEYS[1]  META    a hash of counters: epoch, sequence, fence, node, order, registry; losses, and
--                  told_by, the holder that told of the last; oNUMBER, the sequence of the last
--                  beat, claim or registration of the node with that number; and how many
--                  records were made: hour (which), made (in it), before (in the last), today,
--                  yesterday
-- KEYS[2]  IDS     a hash from a holder to its tag NUMBER.LAPSES; the number is the node's for good
-- KEYS[3]  ALIVE   a sorted set of tags, scored by the end of the node's lease; a tag leaves it
--                  once the node's runs are recovered
-- KEYS[4]  NODES   a hash from a node's number to "STATUS JOINED SEEN EXPIRES NONCE HAD_LAPSED
--                  JSON"; STATUS is a alive, l left, x lost
-- KEYS[5]  LISTS   a hash from a task to its generations, newest first, each with who lists it:
--                  "GENERATION TAG TAG;GENERATION TAG"
-- KEYS[6]  PAUSES  a hash from a task to "UNTIL_MS|* JSON"
-- KEYS[7]  SLOTS   a hash from sINDEX:TASK to the runs of that task and index in hand:
--                  "MARK@NODE MARK@NODE"; and from wINDEX:TASK to the ticks that wait in line for
--                  their first attempt: "TICK TICK"
-- KEYS[8]  DUE     a sorted set of "FLAG[+RUNS/INDICES ]TICK/FIELD", scored by when the run is due.
--                  FLAG is s, or a if it runs beside its like; the rest, if there is a limit on how
--                  many RUNS of the task's INDICES may be in hand
-- KEYS[9]  EVENTS  a stream; the pairs of an entry are a tick and the FIELDs of its runs that
--                  changed, with a NUL between them, or a word and its details
-- KEYS[10] TICKS   a sorted set of the ticks that have records
-- KEYS[11] ENDS    a sorted set of the ticks whose records are all final, scored by when they go
--
-- Some scripts have one more, named where it stands:
--          CANCELS a hash from SLOT, a NUL and MARK of a run in hand that is asked to stop to who
--                  asks and why (JSON: by, why)
--
-- A run is named by its FIELD in the bucket of its tick: sINDEX:TASK, mINDEX:ID:TASK or
-- bINDEX:ID:TASK. Its MARK is TICKs, TICKmID or TICKbID. No id, number or generation holds a space,
-- `:`, `;`, `/` or `@`.
--
-- A step is atomic because it is one script. All time is the server's. Everything is read and
-- checked before the first write, and the first write is one that a full server refuses, so that a
-- step happens whole or not at all.
--
-- In a cluster one key more stands behind all others, which nobody ever writes: no node of a slot that moves begins a script
-- that names it.
if string.find(KEYS[#KEYS], '^tenure:{%w+}:rest$') then
  table.remove(KEYS)
end
local META, IDS, ALIVE, NODES, LISTS, PAUSES, SLOTS, DUE, EVENTS, TICKS, ENDS = unpack(KEYS, 1, 11)
local call = redis.call
local clock = call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local LARGEST = 9007199254740991

-- Numbers up to 2^53 without an exponent.
local function text(number)
  return string.format('%.0f', number)
end

-- A counter: 0 if it is missing, nil if it is no number.
local function counter(value)
  if not value then
    return 0
  end
  local number = tonumber(value)
  if number and number >= 0 and number < LARGEST and number == math.floor(number) then
    return number
  end
  return nil
end

local function broken_counters()
  return redis.error_reply('CORRUPT the counters `' .. META
    .. '` hold no usable numbers; with no node running, delete the key')
end

-- Adds an entry to the feed; `many` if it holds many changes. The feed only tells, so it never
-- undoes a step.
local function tell(pairs, many)
  if #pairs > 0 then
    redis.pcall('XADD', EVENTS, 'MAXLEN', '~', many and '2000' or '10000', '*', unpack(pairs))
  end
end

-- Says that there is something to look at. A user without rights to the channel misses nothing but
-- speed.
local function hint(command, channel)
  redis.pcall(command, channel, '')
end
