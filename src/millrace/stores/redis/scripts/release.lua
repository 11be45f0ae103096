-- Give a named lock back, if it is still the holder's.
-- ARGV: now, the lock, the holder's eight bytes
-- Costs O(1).
--! keys: locks

local held = redis.call('HGET', LOCKS, ARGV[2])
if held and string.sub(held, 1, 8) == ARGV[3] then redis.call('HDEL', LOCKS, ARGV[2]) end
return 1
