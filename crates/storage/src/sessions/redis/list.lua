-- Returns the good sessions of the user: the id of each, and the session.

local listed = {}
for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do
  local session = good(id)
  if session then listed[#listed + 1] = { id, shown(session) } end
end
return listed
