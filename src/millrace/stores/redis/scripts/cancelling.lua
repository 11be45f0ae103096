-- Look for a worker's jobs that were asked to cancel, among all there are.
-- ARGV: now, worker, the id after which to look or ''
-- Answer: ids, claims, and the id after which to look next, '' at the end
-- Costs O(n) for n jobs looked at, at most 1,000.
--! keys: meta odd:
--! include common

local worker, after = ARGV[2], ARGV[3]
local ids = redis.call('ZRANGE', ODD .. CANCELLING, after == '' and '-' or '(' .. after, '+', 'BYLEX', 'LIMIT', 0, 1000)
local found, claims = {}, {}
for place, record in ipairs(read_fields(META, ids)) do
  if record and string.sub(record, WORKER, REST - 1) == worker then
    local _, _, claim = struct.unpack('>BBI4', record)
    found[#found + 1], claims[#claims + 1] = ids[place], claim
  end
end
return {found, claims, #ids == 1000 and ids[1000] or ''}
