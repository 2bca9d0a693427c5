-- Gives back a share of the lock, and lets in whoever is next.
-- ARGV: token, claim_window_ms
-- Reply: 'freed', 'handed', 'others' (they have it still, and nobody new does), 'not_held', or 'more' (given back, with
--        waiters left to be looked at).
-- One step, so that nobody can slip in between the holder and the next.
load()
if end_of(ARGV[1]) then
  dismiss(ARGV[1])
elseif lock and lock.token == ARGV[1] then
  state = 'free'
else
  save()
  return 'not_held'
end
local is_any, _, is_long = serve(tonumber(ARGV[2]))
save()
if is_long then
  return 'more'
elseif is_any then
  return 'handed'
end
return state == 'free' and 'freed' or 'others'
