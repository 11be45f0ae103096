-- Write a worker's entry, new or known.
-- ARGV: now, the worker's eight bytes, its name, when it started (0: what is known, or now), when it was seen (0: now),
--   what it tells of itself
-- Costs O(1).
--! keys: workers
--! include common

local now, started, seen = clock(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
if started == 0 then
  local known = redis.call('HGET', WORKERS, ARGV[2])
  started = known and cmsgpack.unpack(known)[2] or now
end
if seen == 0 then seen = now end
redis.call('HDEL', WORKERS, '') -- frees nothing, but lets workers begin, and drain the jobs, where memory is full
return redis.call('HSET', WORKERS, ARGV[2], cmsgpack.pack({ARGV[3], started, seen, ARGV[6]}))
