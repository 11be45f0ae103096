-- Delete jobs with all that belongs to them.
-- ARGV: now, the states that may be deleted (digits), ids
-- Answer: as lists in the order of the ids: whether it was deleted; record, body, result, error, progress as they were
-- Costs O(n log N) for n ids, of which the client sends at most 200.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local states = ARGV[2]
local chosen, batch = read_chosen(ARGV[3]), new_batch()
change_chosen(chosen, states, function(r, id, place)
  take_out(batch, r, id)
  forget(batch, r, id, (read_body(chosen.body[place])))
  return true
end)
write_batch(batch)
return tell_of(chosen)
