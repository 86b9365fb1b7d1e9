-- KEYS: leases (sorted set: id by the end of its lease in ms), entries (hash: id to entry).
-- ARGV: id, boot, entry, lease in ms.
-- Returns "kept", "anew" or "taken", and the entries of all that live.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
end
local outcome = 'anew'
local entry = redis.call('HGET', KEYS[2], ARGV[1])
if entry then
  if cjson.decode(entry).boot ~= ARGV[2] then
    return {'taken', {}}
  end
  outcome = 'kept'
end
redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return {outcome, redis.call('HVALS', KEYS[2])}
