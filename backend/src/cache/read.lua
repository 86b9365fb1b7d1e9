-- KEYS[1]: a value. ARGV: a token, how long it holds in milliseconds.
-- The value begins with "=". Who finds none gets the right to write it ("lease"), unless somebody has it ("busy"). An invalidation
-- removes the key and the right with it, so what was read before it is never written after it.
local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('SET', KEYS[1], '?' .. ARGV[1], 'PX', ARGV[2])
  return {'lease'}
end
if string.sub(found, 1, 1) == '=' then
  return {'value', string.sub(found, 2)}
end
return {'busy'}
