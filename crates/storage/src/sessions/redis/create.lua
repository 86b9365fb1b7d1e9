-- ARGV[2…]  id, device, address, hash of the refresh token, hash of its successor, when it expires,
--           how many a user may have, the user's version when the password was read
-- Returns the ids of those that it ended; nothing if the version has risen since.

local id, expires, most, version = ARGV[2], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
if version < tonumber(redis.call('GET', KEYS[3]) or 0) then return false end

local live, last = {}, expires
local stored = redis.call('HGETALL', KEYS[1])
for at = 1, #stored, 2 do
  local session = cmsgpack.unpack(stored[at + 1])
  if session.expires > now then
    session.id = stored[at]
    live[#live + 1] = session
    last = math.max(last, session.expires)
  else
    redis.call('HDEL', KEYS[1], stored[at])
    unlist(stored[at])
  end
end
table.sort(live, function(one, other)
  if one.seen ~= other.seen then return one.seen < other.seen end
  if one.created ~= other.created then return one.created < other.created end
  return one.id < other.id
end)

local ended = {}
for at = 1, #live + 1 - most do
  revoke(live[at].id)
  ended[at] = live[at].id
end
put(id, {
  device = ARGV[3],
  address = ARGV[4],
  refresh = ARGV[5],
  successor = ARGV[6],
  created = now,
  seen = now,
  expires = expires,
  version = version,
})
list(id, expires)
redis.call('PEXPIREAT', KEYS[1], last)
return ended
