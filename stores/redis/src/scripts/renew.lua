-- Keeps locks that are still their tokens' own. Never shortens one and never makes one.
-- KEYS: the locks. ARGV: for each a token and a ttl_ms.
-- Reply: {now_ms, answers…}, each the fence alone if the lock is kept for the ttl that was asked for, else
--        {'renewed', fence, pttl_ms}, {'lost', holder, fence, since}, {'foreign', type} or {'free'}
-- One step for all; the answers do not depend on each other.
local clock = redis.call('TIME')
local micros = string.sub('000000', #clock[2] + 1) .. clock[2]
local answers = { clock[1] .. string.sub(micros, 1, 3) }
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

for i, L in ipairs(KEYS) do
  local mine, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  local value = redis.pcall('GET', L)
  local answer
  if value == false then
    answer = { 'free' }
  elseif type(value) == 'table' then
    local kind = redis.call('TYPE', L)['ok']
    if kind == 'string' then
      -- We may not read, which says nothing about whose it is.
      return value
    end
    answer = { 'foreign', kind }
  elseif string.find(value, mine, 5, true) == 5 and string.sub(value, 1, 4) == 'tn1:' then
    local left = keep(L, ttl)
    answer = string.match(value, '^:(%d+):', 37)
    if left ~= ttl then
      answer = { 'renewed', answer, left }
    end
  else
    local token, fence, since, holder = string.match(value, '^tn1:(%x+):(%d+):(%d+):(%x+)$')
    if token then
      answer = { 'lost', holder, fence, since }
    else
      answer = { 'foreign', 'string' }
    end
  end
  answers[i + 1] = answer
end
return answers
