-- ARGV[2…]  id, hash of the token presented, hash of its successor, hash of that one's successor, address,
--           when the session expires from now on, for how many milliseconds the same token may be presented again,
--           the version that the session must have
-- Returns what became of it and the session; nothing if the session isn't good.

local id, presented, successor, after, again = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[8])

local session = good(id, tonumber(ARGV[9]))
if not session then return false end

-- A successor that isn't the token yet was given out by a rotation that this Redis has lost: the master that ran it
-- failed before a replica had it.
if presented == session.refresh or presented == session.successor then
  session.previous, session.refresh, session.successor = presented, successor, after
  session.rotated, session.seen = now, now
  session.address, session.expires = ARGV[6], tonumber(ARGV[7])
  put(id, session)
  list(id, session.expires)
  redis.call('PEXPIREAT', KEYS[1], session.expires, 'GT')
  return { 'rotated', shown(session) }
end
if presented ~= session.previous or now - session.rotated > again then
  revoke(id)
  return { 'reused', shown(session) }
end
if successor ~= session.refresh then return false end
return { 'repeated', shown(session) }
