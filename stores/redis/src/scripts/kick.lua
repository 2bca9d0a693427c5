-- Hands a lock on that is free, or that has room for the first in line.
-- ARGV: claim_window_ms
-- Reply: 'done', or 'more' if waiters are left to be looked at.
load()
if state == 'held' then
  return 'done'
end
local _, _, is_long = serve(tonumber(ARGV[1]))
save()
return is_long and 'more' or 'done'
