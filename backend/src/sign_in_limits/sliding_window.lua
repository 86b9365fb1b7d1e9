-- Takes a place in a sliding window, unless all are taken.
-- KEYS[1]  the places that are taken, sorted by when, in milliseconds since 1970 by this server's clock
-- ARGV     the window in milliseconds, how many places it has, the name of the new one
-- Returns 0, or in how many milliseconds one gets free.

local window, places = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if redis.call('ZCARD', KEYS[1]) >= places then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
  return oldest + window - now
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], window)
return 0
