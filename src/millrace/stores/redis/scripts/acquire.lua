-- Take or keep a named lock.
-- ARGV: now, the lock, the holder's eight bytes, for how long (microseconds)
-- Answer: 1, or 0 where another holds it
-- Costs O(1).
--! keys: locks
--! include common

local now = clock(ARGV[1])
local held = redis.call('HGET', LOCKS, ARGV[2])
if held then
  local holder, till = struct.unpack('>c8d', held)
  if holder ~= ARGV[3] and till >= now then return 0 end
end
redis.call('HDEL', LOCKS, '') -- frees nothing, but lets those who delete jobs begin where memory is full
redis.call('HSET', LOCKS, ARGV[2], struct.pack('>c8d', ARGV[3], now + tonumber(ARGV[4])))
return 1
