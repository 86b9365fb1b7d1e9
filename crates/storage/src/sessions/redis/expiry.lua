-- ARGV[2…]  id, the version that the session must have
-- Returns when it expires; nothing if it isn't good.

local session = good(ARGV[2], tonumber(ARGV[3]))
return session and session.expires
