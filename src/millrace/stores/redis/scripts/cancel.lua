-- Cancel jobs: a running one is asked to, any other is cancelled, and gone at once where it is not kept.
-- ARGV: now, how long the cancelled are kept (microseconds, negative: for ever), the states that may change (digits),
--   ids
-- Answer: as lists in the order of the ids: whether it was changed, record, body, result, error, progress
-- Costs O(n log N) for n ids, of which the client sends at most 200.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local now, retention, states = clock(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local chosen, batch = read_chosen(ARGV[4]), new_batch()
change_chosen(chosen, states, function(r, id, place)
  take_out(batch, r, id)
  r.rev = r.rev + 1
  if r.state == RUNNING then
    r.state = CANCELLING
    put_in(batch, r, id)
  else
    local tags, options = read_body(chosen.body[place])
    r.state, r.reason, r.lease, r.finished = CANCELLED, CANCELLED_ON_PURPOSE, 0, now
    r.expires = own_expiry(r, options, retention, now)
    if r.expires == now then
      forget(batch, r, id, tags)
    else
      put_in(batch, r, id)
    end
  end
  return true
end)
write_batch(batch)
return tell_of(chosen)
