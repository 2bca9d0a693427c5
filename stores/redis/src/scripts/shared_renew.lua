-- Keeps a share of a lock that is still its token's own. Never shortens it and never makes one.
-- ARGV: token, ttl_ms, claim_window_ms
-- Reply: {'renewed', now_ms, fence, ttl_ms}, or {'lost', now_ms, occupant | {'free'}}
local token, ttl = ARGV[1], tonumber(ARGV[2])
load()
local fence, left = prolong(token, ttl)
if fence then
  save()
  return { 'renewed', now, fence, left }
end
if lock and lock.token == token then
  local want = want_of(token)
  left = math.max(redis.call('PTTL', L), ttl)
  if want then
    -- It was handed on as to anybody. Those behind who want the same come in now.
    open(token, lock.holder, ttl, want)
    serve(tonumber(ARGV[3]))
    save()
  else
    redis.call('PEXPIRE', L, left)
  end
  return { 'renewed', now, lock.fence, left }
end
save()
lock = read_lock()
return { 'lost', now, lock and occupant(lock) or { 'free' } }
