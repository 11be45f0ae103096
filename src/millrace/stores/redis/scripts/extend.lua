-- Extend leases, and write progress and partial results; each only where its claim still is the worker's.
-- ARGV: now; worker; msgpack of, for each: [claim, how long the lease lasts from now or nil, whether it has progress
--   (1), a result]; ids; what was said to be there: the progress, the result
-- Answer: the state of each, -1 where the claim is lost
-- Costs O(n log N) for n jobs, at most 500.
--! keys: meta lease result progress ends
--! include common

local now, worker = clock(ARGV[1]), ARGV[2]
local beats, ids = cmsgpack.unpack(ARGV[3]), cut_ids(ARGV[4])
local old = redis.call('HMGET', META, unpack(ids))
local states, records, ends, results, progress = {}, {}, {}, {}, {}
local blob = 4

local function add(list, id, value)
  list[#list + 1] = id
  list[#list + 1] = value
end

local function next_blob(there)
  if there ~= 1 then return nil end
  blob = blob + 1
  return ARGV[blob]
end

for place, id in ipairs(ids) do
  local beat, record = beats[place], old[place]
  local told, result = next_blob(beat[3]), next_blob(beat[4])
  states[place] = -1
  if record and string.sub(record, WORKER, REST - 1) == worker then
    local state, reason, claim, rev = struct.unpack('>BBI4I4', record)
    if claim == beat[1] and (state == RUNNING or state == CANCELLING) then
      states[place] = state
      if beat[2] then
        local ending = now + beat[2]
        add(records, id, struct.pack('>BBI4I4', state, reason, claim, rev + 1) .. string.sub(record, 11, 22) ..
          struct.pack('>i8', ending) .. string.sub(record, 31))
        add(ends, whole(ending), id)
      end
      if told then add(progress, id, told) end
      if result then add(results, id, result) end
    end
  end
end
redis.call('ZREM', LEASE, '') -- frees nothing, but lets the rest through where memory is full
in_pieces('HSET', META, records)
in_pieces('ZADD', LEASE, ends)
in_pieces('HSET', PROGRESS, progress)
in_pieces('HSET', RESULT, results)
if progress[1] or results[1] then redis.call('PUBLISH', ENDS, '') end
return states
