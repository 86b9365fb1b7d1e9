-- KEYS: sets of users. ARGV[1]: how many users to name at most.
-- Returns the number of different users, and that many of them.
local most = tonumber(ARGV[1])
local total = 0
local only = nil
local filled = 0
for _, key in ipairs(KEYS) do
  local size = redis.call('SCARD', key)
  if size > 0 then
    total = total + size
    filled = filled + 1
    only = key
  end
end
if filled == 0 then
  return {0, {}}
end
-- One instance has them all: nothing to unite.
if filled == 1 then
  if total <= most then
    return {total, redis.call('SMEMBERS', only)}
  end
  return {total, redis.call('SRANDMEMBER', only, most)}
end
local users = redis.call('SUNION', unpack(KEYS))
local named = {}
for i = 1, math.min(#users, most) do
  named[i] = users[i]
end
return {#users, named}
