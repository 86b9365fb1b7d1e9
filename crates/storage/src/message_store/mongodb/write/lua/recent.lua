-- Returns the rooms of a partition that were written to lately, each with the last reserved seq.
--
-- KEYS[1] the rooms, by the time of that · KEYS[2] the last reserved seq of each · ARGV[1] how far back, in ms
-- Returns room, seq, room, seq …

local LATELY_MS = 60000
local TRIMMED = 128
local TOLD = 4096

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - LATELY_MS, 'LIMIT', 0, TRIMMED)
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('HDEL', KEYS[2], unpack(old))
end
local answer = {}
for _, room in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', now - ARGV[1], 'LIMIT', 0, TOLD)) do
  answer[#answer + 1] = room
  answer[#answer + 1] = redis.call('HGET', KEYS[2], room) or '0'
end
return answer
