
-- Begins the quarantine of a server in a new life, in two calls with a WAIT between them: a majority must follow it first.
-- KEYS[1]: what the quarantine is to claims
-- ARGV: the life that a majority follows ('' in the first call), quarantine_ms, the same for claims, settings:
--       "MAX_TTL_MS REPLICAS"
-- Reply: {'probed', life}: wait for a majority and call again; {'installed'}; {'known'} if another client was faster;
--        {'other', settings} if other clients agreed on other settings; or {'evicts', policy}
-- One step, because the quarantine may begin only in the very life that a majority was found to follow.
if marker and string.sub(marker, 82) ~= SETTINGS then
  return { 'other', string.sub(marker, 82) }
end
if marker and string.sub(marker, 1, 80) == LIFE then
  return { 'known' }
end
local policy = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)')
if policy and policy ~= 'noeviction' then
  return { 'evicts', policy }
end
-- Also what the WAIT waits for. Without a marker it keeps nobody away.
redis.call('SET', QUARANTINE, LIFE, 'PX', ARGV[2])
redis.call('SET', KEYS[1], LIFE, 'PX', ARGV[3])
if ARGV[1] ~= LIFE then
  return { 'probed', LIFE }
end
redis.call('SET', MARKER, LIFE .. ' ' .. SETTINGS)
return { 'installed' }
