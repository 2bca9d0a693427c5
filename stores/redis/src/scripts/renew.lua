-- Keeps locks that are still their tokens' own. Never shortens one and never makes one.
-- KEYS: the locks. ARGV[1]: their tokens, one after the other. ARGV[2…]: their ttl_ms, or one that is meant for all.
-- Reply: "now_ms word word …", each the fence if the lock is kept for the ttl that was asked for, else `-`. With such, a list of
--        that line and, for each in turn, {'renewed', fence, pttl_ms}, {'lost', holder, fence, since}, {'foreign', type}, {'shared'}
--        (ask shared_renew.lua) or {'free'}
-- One step for all; the answers do not depend on each other. One line, because to make and to read a list of hundreds costs
-- both sides more than to renew them.
local clock = redis.call('TIME')
local micros = string.sub('000000', #clock[2] + 1) .. clock[2]
local words, others = { clock[1] .. string.sub(micros, 1, 3) }, {}
-- Before Redis 7.0 PEXPIRE knows no GT, and it takes two commands.
local knows_gt = true

-- Keeps a lock at least for so long, and says for how long it is kept.
local function keep(L, ttl)
  if knows_gt then
    local kept = redis.pcall('PEXPIRE', L, ttl, 'GT')
    if kept == 1 then
      return ttl
    end
    knows_gt = type(kept) ~= 'table'
  end
  local left, wanted = redis.call('PTTL', L), tonumber(ttl)
  if left < wanted then
    redis.call('PEXPIRE', L, ttl)
  end
  return left > wanted and left or ttl
end

local tokens, ttl = ARGV[1], nil
for i, L in ipairs(KEYS) do
  local mine = string.sub(tokens, 32 * i - 31, 32 * i)
  ttl = ARGV[i + 1] or ttl
  local value = redis.pcall('GET', L)
  local word, other = '-', nil
  if value == false then
    other = { 'free' }
  elseif type(value) == 'table' then
    local kind = redis.call('TYPE', L)['ok']
    if kind == 'string' then
      -- We may not read, which says nothing about whose it is.
      return value
    end
    other = { 'foreign', kind }
  else
    local fence = string.match(value, '^:(%d+):', 37)
    if fence and string.find(value, mine, 5, true) == 5 and string.sub(value, 1, 4) == 'tn1:' then
      local left = keep(L, ttl)
      if left == ttl then
        word = fence
      else
        other = { 'renewed', fence, left }
      end
    else
      local token, since, holder
      token, fence, since, holder = string.match(value, '^tn1:(%x+):(%d+):(%d+):(%x+)$')
      other = token and { 'lost', holder, fence, since }
        or (string.sub(value, 1, 5) == 'tns1:' and { 'shared' }) or { 'foreign', 'string' }
    end
  end
  words[i + 1] = word
  others[#others + 1] = other
end
local line = table.concat(words, ' ')
if #others == 0 then
  return line
end
return { line, unpack(others) }
