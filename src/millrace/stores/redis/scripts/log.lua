-- Keep log lines; each only where its claim still is the worker's. A job keeps its newest thousand.
-- ARGV: now; worker; msgpack of the claim of each; the id of each; the lines, each msgpack of what follows on claim and
--   attempt, see `attempts.py`
-- Answer: for each whether it was kept (1)
-- Costs O(n) for n lines, at most 500.
--! keys: meta log: ends
--! include common

local MOST_LINES = 1000

local worker, claims, ids = ARGV[2], cmsgpack.unpack(ARGV[3]), cut_ids(ARGV[4])
local distinct, known, held, kept, logs = {}, {}, {}, {}, {}
for _, id in ipairs(ids) do
  if not known[id] then
    known[id] = true
    distinct[#distinct + 1] = id
  end
end
for place, record in ipairs(read_fields(META, distinct)) do
  if record and string.sub(record, WORKER, REST - 1) == worker then
    local state, _, claim, _, attempt = struct.unpack('>BBI4I4I4', record)
    if state == RUNNING or state == CANCELLING then held[distinct[place]] = {claim, attempt} end
  end
end
for place, id in ipairs(ids) do
  local attempt = held[id]
  kept[place] = 0
  if attempt and attempt[1] == claims[place] then
    local lines = logs[id] or {}
    logs[id], kept[place] = lines, 1
    lines[#lines + 1] = '\150' .. cmsgpack.pack(attempt[1], attempt[2]) .. ARGV[4 + place]
  end
end
for id, lines in pairs(logs) do
  in_pieces('RPUSH', LOG .. id, lines)
  redis.call('LTRIM', LOG .. id, -MOST_LINES, -1)
end
if next(logs) then redis.call('PUBLISH', ENDS, '') end
return kept
