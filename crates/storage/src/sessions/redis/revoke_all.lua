-- ARGV[2…]  the id of the one that stays, or nothing; the version that sessions must have from now on
-- Returns the ids of those that it ended.

local version = tonumber(ARGV[3])
if version > tonumber(redis.call('GET', KEYS[3]) or 0) then
  redis.call('SET', KEYS[3], ARGV[3], 'PX', REMEMBERED)
end
local ended = {}
for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do
  local session = good(id)
  if session and id ~= ARGV[2] then
    revoke(id)
    ended[#ended + 1] = id
  elseif session and (session.version or 0) < version then
    session.version = version
    put(id, session)
  end
end
return ended
