-- What every script of the sessions begins with.
-- KEYS[1]  the sessions of one user, a hash from the session's id to its record
-- KEYS[2]  the sessions of the partition's users that were revoked lately, sorted by when
-- KEYS[3]  the version that the user's sessions must have, if it has risen lately
-- KEYS[4]  when the partition's sessions expire, by KEYS[1] and the session's id
-- ARGV[1]  the time, in milliseconds since 1970

local now = tonumber(ARGV[1])

-- The session of this id, if it is good and not of an earlier version than this.
local function good(id, version)
  local packed = redis.call('HGET', KEYS[1], id)
  local session = packed and cmsgpack.unpack(packed)
  -- Those from before there were versions have none.
  return session and session.expires > now and (session.version or 0) >= (version or 0) and session
end

local function put(id, session)
  redis.call('HSET', KEYS[1], id, cmsgpack.pack(session))
end

-- Longer than any session lasts.
local LISTED = 3456000000

-- Lists a session until it expires, for who counts and cleans up.
local function list(id, expires)
  redis.call('ZADD', KEYS[4], expires, KEYS[1] .. '/' .. id)
  redis.call('PEXPIRE', KEYS[4], LISTED)
end

local function unlist(id)
  redis.call('ZREM', KEYS[4], KEYS[1] .. '/' .. id)
end

-- Access tokens outlive their session by 15 minutes; so long its end must be known to who starts meanwhile. No sign-in
-- takes longer.
local REMEMBERED = 3600000

local function revoke(id)
  redis.call('HDEL', KEYS[1], id)
  unlist(id)
  redis.call('ZADD', KEYS[2], now, id)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - REMEMBERED)
  redis.call('PEXPIRE', KEYS[2], REMEMBERED)
end

local function shown(session)
  return { session.device, session.address, session.created, session.seen, session.expires }
end
