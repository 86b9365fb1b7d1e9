-- Takes places in a sliding window, unless too few are free.
-- KEYS[1]  the places that are taken, sorted by when, in milliseconds since 1970 by this server's clock
-- ARGV     the window in milliseconds, how many places it has, the name of the new one, how many are wanted
-- Returns 0, or in how many milliseconds enough get free.

local window, places, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local missing = redis.call('ZCARD', KEYS[1]) + wanted - places
if missing > 0 then
  local last = redis.call('ZRANGE', KEYS[1], missing - 1, missing - 1, 'WITHSCORES')[2]
  return last + window - now
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
for other = 2, wanted do
  redis.call('ZADD', KEYS[1], now, ARGV[3] .. ':' .. other)
end
redis.call('PEXPIRE', KEYS[1], window)
return 0
