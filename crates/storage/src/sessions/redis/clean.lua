-- Removes sessions that have expired.
-- KEYS[1]  when the partition's sessions expire, by the key of the user's sessions and the session's id
-- ARGV[1…]  the time before which they expired, the most to remove
-- Returns how many were there. The keys of the users' sessions are in the same slot.

local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(ended) do
  local key, id = string.match(member, '^(.*)/([^/]+)$')
  if key then redis.call('HDEL', key, id) end
  redis.call('ZREM', KEYS[1], member)
end
return #ended
