-- KEYS: leases, entries, claims. ARGV: id, boot. Ends the lease, if it is ours.
local entry = redis.call('HGET', KEYS[2], ARGV[1])
if not entry or cjson.decode(entry).boot ~= ARGV[2] then
  return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
