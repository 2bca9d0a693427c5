-- Keeps locks that are still their tokens' own. Never shortens one and never makes one.
-- KEYS: the locks. ARGV: for each a token and a ttl_ms.
-- Reply: {now_ms, answers…}, each {'renewed', fence, pttl_ms}, {'lost', holder, fence, since}, {'foreign', type} or {'free'}
-- One step for all; the answers do not depend on each other.
local clock = redis.call('TIME')
local answers = { math.floor(clock[1] * 1000 + clock[2] / 1000) }
for i, L in ipairs(KEYS) do
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
  else
    local token, fence, since, holder = string.match(value, '^tn1:(%x+):(%d+):(%d+):(%x+)$')
    if token == ARGV[2 * i - 1] then
      local ttl = tonumber(ARGV[2 * i])
      local left = redis.call('PTTL', L)
      if left < ttl then
        redis.call('PEXPIRE', L, ttl)
        left = ttl
      end
      answer = { 'renewed', fence, left }
    elseif token then
      answer = { 'lost', holder, fence, since }
    else
      answer = { 'foreign', 'string' }
    end
  end
  answers[i + 1] = answer
end
return answers
