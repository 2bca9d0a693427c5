-- Takes back this server's vote for a token that nobody waits behind: what happens nearly always, so it stands before
-- everything else and does without the functions that the rest of the script shares.
-- KEYS, ARGV and reply as in quorum_end.lua.
if ARGV[2] ~= 'leave' and ARGV[3] == '0' and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then
  local held = redis.pcall('GET', KEYS[1])
  -- Behind `tn1:`, and no more than a comparison: what else stands there is of our own making.
  if type(held) == 'string' and string.find(held, ARGV[1], 5, true) == 5 and string.sub(held, 1, 4) == 'tn1:' then
    redis.call('DEL', KEYS[1])
    return 'released'
  end
end
