-- Takes permits of a sliding window, whose time is divided into slots. A permit counts until its whole slot is out of the window,
-- so no window, wherever it begins, holds more permits than the limit.
-- KEYS[1]  a hash: the number of a slot (its time since 1970 by this server's clock, divided by its width) to its permits
-- ARGV     how long after its slot's end a permit counts and how wide a slot is, both in milliseconds; the limit; permits that were
--          used already and count in any case; the fewest and the most that are wanted; a slot and how many permits are given back
--          to it
-- Returns  how many permits were taken, of which slot, if none were after how many milliseconds the fewest that are wanted are
--          free, or one, and how many count now

local hold, width, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local owed, least, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local back_to, back = ARGV[7], tonumber(ARGV[8])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slot, first = math.floor(now / width), math.floor((now - hold) / width)

local fields = redis.call('HGETALL', KEYS[1])
local used, over, slots = 0, {}, {}
for at = 1, #fields, 2 do
  local name, permits = fields[at], tonumber(fields[at + 1])
  if back > 0 and name == back_to then
    permits = math.max(permits - back, 0)
    if permits > 0 then
      redis.call('HSET', KEYS[1], name, permits)
    end
  end
  local number = tonumber(name)
  if number < first or permits == 0 then
    over[#over + 1] = name
  else
    used = used + permits
    slots[#slots + 1] = { number, permits }
  end
end
if #over > 0 then
  redis.call('HDEL', KEYS[1], unpack(over))
end

used = used + owed
local taken = math.max(math.min(most, limit - used), 0)
if taken < least then
  taken = 0
end
local wait, missing = 0, used + math.max(least, 1) - limit
if taken == 0 and missing > 0 then
  table.sort(slots, function(a, b) return a[1] < b[1] end)
  slots[#slots + 1] = { slot, owed }
  for _, each in ipairs(slots) do
    missing = missing - each[2]
    wait = (each[1] + 1) * width + hold - now
    if missing <= 0 then
      break
    end
  end
end
if owed + taken > 0 then
  redis.call('HINCRBY', KEYS[1], slot, owed + taken)
  redis.call('PEXPIRE', KEYS[1], hold + width)
end
return { taken, slot, math.max(wait, 0), used + taken }
