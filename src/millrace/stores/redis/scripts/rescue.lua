-- Take back leases that have passed, those that passed first before others: to pending, dead with the last crash
-- allowed, or cancelled where a cancel was asked for. One conditional change of the state as it now is.
-- ARGV: now, how long the cancelled are kept, how long the dead (microseconds, negative: for ever), at most how many,
--   the class of the error that is stored, and its text with two %d: leases lost, and with how many it is dead
-- Answer: lists of ids, of their records, and of queues that have got jobs
-- Costs O(k log N) for k jobs, of which the client asks for at most 250.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local MOST_ATTEMPTS = 50
local CRASHED, LEASE_LOST = 4, 5 -- reasons

local now, retention, dead_retention = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = redis.call('ZRANGE', LEASE, '-inf', '(' .. whole(now), 'BYSCORE', 'LIMIT', 0, ARGV[4])
local old, bodies, batch = read_fields(META, ids), read_fields(BODY, ids), new_batch()
local found, records = {}, {}

local function finish(r, id, state, reason, expires, tags)
  r.state, r.reason, r.finished, r.expires = state, reason, now, expires
  if expires == now then forget(batch, r, id, tags) else put_in(batch, r, id) end
end

for place, id in ipairs(ids) do
  if old[place] then
    local r = read_record(old[place])
    local tags, options = read_body(bodies[place] or '\0')
    local text = string.format(ARGV[6], r.crashes + 1, r.max_crashes)
    local row, asked = attempt_row(r, now, 'lease-lost', text), r.state == CANCELLING
    take_out(batch, r, id)
    r.rev, r.crashes, r.attempt, r.lease = r.rev + 1, r.crashes + 1, math.max(r.attempt - 1, 0), 0
    if asked then
      finish(r, id, CANCELLED, CANCELLED_ON_PURPOSE, own_expiry(r, options, retention, now), tags)
    elseif r.crashes >= r.max_crashes then
      finish(r, id, DEAD, CRASHED, expiry(r, dead_retention, now), tags)
    else
      r.state, r.reason = PENDING, LEASE_LOST
      put_in(batch, r, id)
    end
    if r.expires ~= now then
      push(batch, ATTEMPTS .. id, MOST_ATTEMPTS, {row})
      put(batch.sets, ERROR, id, cmsgpack.pack({ARGV[5], text}))
    end
    found[#found + 1], records[#records + 1] = id, write_record(r)
  else
    put(batch.gone, LEASE, id)
  end
end
if ids[1] then write_batch(batch) end
local queues = {}
for queue in pairs(batch.told) do queues[#queues + 1] = queue end
return {found, records, queues}
