-- Raises a counter to the end of its room's log, unless it is further already.
--
-- KEYS[1] the counter · ARGV[1] the last seq known to be taken

local KEPT_MS = 604800000
local last = redis.call('GET', KEYS[1])
if not last or tonumber(last) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', KEPT_MS)
end
return redis.status_reply('OK')
