-- ARGV[2…]  id, address. The time is when the session was seen.

local packed = redis.call('HGET', KEYS[1], ARGV[2])
local session = packed and cmsgpack.unpack(packed)
if session and session.seen < now then
  session.seen, session.address = now, ARGV[3]
  put(ARGV[2], session)
end
