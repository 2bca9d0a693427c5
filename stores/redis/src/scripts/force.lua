-- Takes the lock from its holder if that is still the one an operator saw, from all who share it, or from one of them, and
-- hands it on.
-- ARGV: mark, claim_window_ms
-- Reply: {'none'}, {'changed'}, or {'done' | 'more', occupant}
-- One step, so that a holder that came later is not hit.
load()
if not lock or (lock.shared and state == 'free') then
  return { 'none' }
end
local from = nil
local of_one, of_fence = string.match(ARGV[1], '^share:(%x+):(%d+)$')
if mark_of(lock) == ARGV[1] then
  if state == 'shared' then
    from = { 'shared', mode, text(count) }
    -- Of very many the rest learns of it at the next renewal.
    for _, token in ipairs(redis.call('ZRANGE', E, 0, 1023)) do
      tell_of_loss({ token = token })
      redis.call('HDEL', D, token)
    end
  else
    from = occupant(lock)
    tell_of_loss(lock)
  end
  redis.call('DEL', E)
  state = 'free'
elseif of_one and end_of(of_one) then
  local holder, fence, from_ms = share_of(of_one)
  if fence == of_fence then
    from = { 'ours', holder, fence, from_ms }
    tell_of_loss({ token = of_one })
    dismiss(of_one)
  end
end
if not from then
  return { 'changed' }
end
local _, _, is_long = serve(tonumber(ARGV[2]))
save()
return { is_long and 'more' or 'done', from }
