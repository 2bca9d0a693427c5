-- Writes something before renewals, so that a WAIT that follows waits for all that was written before, whoever did.
-- KEYS: the locks, a key to write to. ARGV and reply as in renew.lua, which follows.
redis.call('SET', table.remove(KEYS), '', 'PX', 1000)
