-- Make jobs pending and due now, as if just enqueued; attempts and log stay, and a success becomes a row of them.
-- ARGV: now, the states that may change (digits), whether there are new arguments (1), these, ids
-- Answer: as lists in the order of the ids: whether it was changed, record, body, result, error, progress; then of
--   those that another job of their key has stopped: their places, the ids of these others, and what these are told by
-- Costs O(n log N) for n ids, of which the client sends at most 200.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local now, states = clock(ARGV[1]), ARGV[2]
local args = ARGV[3] == '1' and ARGV[4]
local chosen, batch, taken, stopped, holders = read_chosen(ARGV[5]), new_batch(), {}, {}, {}

local function other_holder(key, id)
  if key == '' then return end
  local holder = taken[key] or holder_of(redis.call('HGET', UNIQ, key), now)
  if holder and holder ~= id then return holder end
end

local function with_arguments(body, id)
  local _, _, from = read_body(body)
  return string.sub(body, 1, from - 1) .. args .. string.sub(id, -1)
end

change_chosen(chosen, states, function(r, id, place)
  local key = r.scoped or r.key
  local holder = other_holder(key, id)
  if holder then
    stopped[#stopped + 1] = place
    holders[#holders + 1] = holder
    return false
  end
  if key ~= '' then taken[key] = id end
  if r.scoped then put(batch.sets, UNIQ, key, id .. '*') end
  take_out(batch, r, id)
  if r.state == COMPLETED then
    push(batch, ATTEMPTS .. id, 50, {attempt_row(r, r.finished, 'completed')})
  end
  r.rev, r.state, r.reason, r.due = r.rev + 1, PENDING, 0, now
  r.attempt, r.crashes, r.started, r.lease, r.finished, r.expires = 0, 0, 0, 0, 0, 0
  for _, key in ipairs({RESULT, ERROR, PROGRESS}) do put(batch.fields, key, id) end
  chosen.result[place], chosen.error[place], chosen.progress[place] = false, false, false
  if args then
    chosen.body[place] = with_arguments(chosen.body[place], id)
    put(batch.sets, BODY, id, chosen.body[place])
  end
  put_in(batch, r, id)
  return true
end)
write_batch(batch)

local answer = tell_of(chosen)
answer[7], answer[8] = stopped, holders
for place, part in ipairs({read_parts(holders)}) do answer[8 + place] = part end -- as they are after all was written
return answer
