-- ARGV[2]  the id of the session
-- Returns whether it was a good one.

if not good(ARGV[2]) then return 0 end
revoke(ARGV[2])
return 1
