-- Delete the entries of workers that were not seen since a time.
-- ARGV: now, the time
-- Answer: how many
-- Costs O(workers).
--! keys: workers
--! include common

local before, gone, entries = tonumber(ARGV[2]), {}, redis.call('HGETALL', WORKERS)
for place = 1, #entries, 2 do
  if cmsgpack.unpack(entries[place + 1])[3] < before then gone[#gone + 1] = entries[place] end
end
in_pieces('HDEL', WORKERS, gone)
return #gone
