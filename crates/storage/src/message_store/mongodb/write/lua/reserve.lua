-- Reserves seqs in the logs of rooms, and looks up the seqs of messages that are known by their clientIds.
--
-- KEYS[1] rooms that were written to lately, by the time of that · KEYS[2] the last reserved seq of each of them
-- then a room: its counter, and the keys of its clientIds
-- ARGV a room: its id, the last seq that the caller knows to be taken, how many clientIds, how many messages without one
-- Returns, for each room: the first reserved seq, or -1 where the counter is missing; then, for each clientId, the seq of
-- its message or 0. The reserved seqs follow one another, one for each message that isn't known.
--
-- A counter is never made here: a missing one isn't zero. One that has fallen behind what the caller knows is raised.

local KEPT_MS = 604800000 -- A counter that wasn't used for a week expires; the next writer sets it from the log.
local LATELY_MS = 60000
local TRIMMED = 16

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key, arg, answer = 3, 1, {}
while KEYS[key] do
  local counter, room = KEYS[key], ARGV[arg]
  local known, named, wanted = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3])
  local last = tonumber(redis.call('GET', counter))
  local first = #answer + 1
  answer[first] = -1
  for name = 1, named do
    local seq = last and tonumber(redis.call('GET', KEYS[key + name])) or 0
    answer[first + name] = seq
    if seq == 0 then wanted = wanted + 1 end
  end
  if last then
    last = math.max(last, known)
    answer[first] = last + 1
    if wanted > 0 then
      local head = string.format('%.0f', last + wanted)
      redis.call('SET', counter, head, 'PX', KEPT_MS)
      redis.call('ZADD', KEYS[1], now, room)
      redis.call('HSET', KEYS[2], room, head)
    end
  end
  key, arg = key + 1 + named, arg + 4
end

-- A partition whose rooms nobody asks for drops them here, bit by bit.
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - LATELY_MS, 'LIMIT', 0, TRIMMED)
if #old > 0 then
  redis.call('ZREM', KEYS[1], unpack(old))
  redis.call('HDEL', KEYS[2], unpack(old))
end
return answer
