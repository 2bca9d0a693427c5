-- What strict safety knows of a server; stands before each script that asks it.
--
-- The last two KEYS are taken away here, and the last of ARGV, so that what follows finds its own.
-- MARKER      "LIFE MAX_TTL_MS REPLICAS": in which life of the server a majority followed it, and what all clients agree on
-- QUARANTINE  there while leases that were forgotten may still be trusted
local QUARANTINE, MARKER, SETTINGS = table.remove(KEYS), table.remove(KEYS), table.remove(ARGV)
-- A start changes the run id and a promotion the replication id: after either, data that was granted before may be missing.
local LIFE = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  .. string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local marker = redis.call('GET', MARKER)
