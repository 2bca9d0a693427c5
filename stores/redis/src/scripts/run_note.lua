-- Adds a note to the feed.
-- KEYS[12]: whether this request did so already.
-- ARGV: note (JSON)
-- Reply: 1
-- One step, so that a note that is sent again stands there once.
if call('SET', KEYS[12], '1', 'NX', 'PX', '60000') then
  call('XADD', EVENTS, 'MAXLEN', '~', '10000', '*', 'note', ARGV[1])
end
return 1
