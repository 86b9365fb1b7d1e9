-- ARGV[2]  the id of the one that stays, or nothing
-- Returns the ids of those that it ended.

local ended = {}
for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do
  if id ~= ARGV[2] and good(id) then
    revoke(id)
    ended[#ended + 1] = id
  end
end
return ended
