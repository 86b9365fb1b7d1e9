-- KEYS: leases (sorted set: id by the end of its lease in ms), entries (hash: id to entry), claims (hash: "last" to the
-- number of the last claim, and the id of each instance that accepts clients to the last claim that it knows of).
-- ARGV: id, boot, entry, lease in ms, the last claim that this instance knows of; empty until it accepts clients.
-- Returns "kept", "anew" or "taken", the entries of all that live, the last claim, and the last one that everybody
-- else who accepts clients knows of.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
local outcome = 'anew'
local entry = redis.call('HGET', KEYS[2], ARGV[1])
if entry then
  if cjson.decode(entry).boot ~= ARGV[2] then
    return {'taken', {}, 0, 0}
  end
  outcome = 'kept'
end
redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
local last = tonumber(redis.call('HGET', KEYS[3], 'last') or 0)
if outcome == 'anew' then
  last = redis.call('HINCRBY', KEYS[3], 'last', 1)
end
if ARGV[5] ~= '' then
  -- What it knew before Redis lost its lease says nothing about this registry.
  redis.call('HSET', KEYS[3], ARGV[1], outcome == 'kept' and ARGV[5] or 0)
end
local known = last
local claims = redis.call('HGETALL', KEYS[3])
for index = 1, #claims, 2 do
  if claims[index] ~= 'last' and claims[index] ~= ARGV[1] then
    known = math.min(known, tonumber(claims[index + 1]))
  end
end
return {outcome, redis.call('HVALS', KEYS[2]), last, known}
