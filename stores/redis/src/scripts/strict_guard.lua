
-- Refuses to go on to any grant in a server that may have forgotten leases.
-- ARGV, behind those of the script that follows: settings: "MAX_TTL_MS REPLICAS"
-- Reply, unless the script that follows may go on: {'unmarked'}: a majority is not known to follow this server in this life;
--        {'other', settings} if other clients agreed on other settings; or {'quarantined', now_ms, pttl_ms}
-- One step with the grant, because a server may lose its data and come back between two.
if marker and string.sub(marker, 82) ~= SETTINGS then
  return { 'other', string.sub(marker, 82) }
end
if not marker or string.sub(marker, 1, 80) ~= LIFE then
  return { 'unmarked' }
end
local quarantine = redis.call('PTTL', QUARANTINE)
if quarantine ~= -2 then
  local clock = redis.call('TIME')
  return { 'quarantined', math.floor(clock[1] * 1000 + clock[2] / 1000), quarantine }
end
