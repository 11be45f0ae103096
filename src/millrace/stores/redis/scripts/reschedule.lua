-- Move the due time of jobs: due ones are pending, others scheduled.
-- ARGV: now, due, the states that may change (digits), ids
-- Answer: as lists in the order of the ids: whether it was changed, record, body, result, error, progress
-- Costs O(n log N) for n ids, of which the client sends at most 200.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local now, due, states = clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local chosen, batch = read_chosen(ARGV[4]), new_batch()
change_chosen(chosen, states, function(r, id)
  take_out(batch, r, id)
  r.rev, r.due, r.state = r.rev + 1, due, due <= now and PENDING or SCHEDULED
  put_in(batch, r, id)
  return true
end)
write_batch(batch)
return tell_of(chosen)
