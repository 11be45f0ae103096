-- Make a worker's running jobs pending again but for those it holds: they were claimed for it, and the reply was lost.
-- No handler has begun on any, so the try is given back and no attempt is told of. One that was asked to cancel
-- meanwhile is left to its lease.
-- ARGV: now, worker, where to go on in the list of leases (0 at first), the ids that it holds
-- Answer: where to go on next (0 at the end), and how many were given back
-- Costs O(n) for n leases looked at, some 500.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local worker, held = ARGV[2], {}
for _, id in ipairs(cut_ids(ARGV[4])) do held[id] = true end
local scanned = redis.call('ZSCAN', LEASE, ARGV[3], 'COUNT', 500)
local ids, seen, batch, number = {}, {}, new_batch(), 0
for place = 1, #scanned[2], 2 do
  local id = scanned[2][place]
  if not held[id] and not seen[id] then ids[#ids + 1] = id end
  seen[id] = true
end
for place, record in ipairs(read_fields(META, ids)) do
  if record and string.byte(record) == RUNNING and string.sub(record, WORKER, REST - 1) == worker then
    local r = read_record(record)
    take_out(batch, r, ids[place])
    r.state, r.rev, r.attempt, r.worker, r.lease, r.started = PENDING, r.rev + 1, r.attempt - 1, NOBODY, 0, 0
    put_in(batch, r, ids[place])
    number = number + 1
  end
end
if number > 0 then write_batch(batch) end
return {scanned[1], number}
