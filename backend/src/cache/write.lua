-- KEYS[1]: a value. ARGV: the token, the life in milliseconds, the value; without a value the right is given back.
if redis.call('GET', KEYS[1]) ~= '?' .. ARGV[1] then
  return 0
end
if ARGV[3] then
  redis.call('SET', KEYS[1], '=' .. ARGV[3], 'PX', ARGV[2])
else
  redis.call('UNLINK', KEYS[1])
end
return 1
