-- Let a job wait for some parents no longer, and release it where these were the last; or cancel it.
-- ARGV: now; its id; these parents, joined; 1 to cancel it; when it is due if it is released; until when it is kept if it
--   is cancelled (negative: for ever); whether it gets other arguments (1); these
-- Answer: the queue that has got a job, or nothing
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch
--! include held

local OF_A_PARENT = 8 -- the reason, by its number in `record.REASONS`

local now, id, cancels = clock(ARGV[1]), ARGV[2], ARGV[4] == '1'
local record, body, batch = redis.call('HGET', META, id), redis.call('HGET', BODY, id), new_batch()
local r = record and read_record(record)
if not r or not is_held(r) then
  redis.call('UNLINK', PARENTS .. id)
  return {}
end
if ARGV[7] == '1' then
  local _, _, from = read_body(body)
  put(batch.sets, BODY, id, string.sub(body, 1, from - 1) .. ARGV[8] .. string.sub(id, -1))
end
in_pieces('SREM', PARENTS .. id, cut_ids(ARGV[3]))
if cancels then
  redis.call('UNLINK', PARENTS .. id)
  take_out(batch, r, id)
  r.rev, r.state, r.reason, r.finished, r.expires = r.rev + 1, CANCELLED, OF_A_PARENT, now, tonumber(ARGV[6])
  if r.expires == now then forget(batch, r, id, (read_body(body))) else put_in(batch, r, id) end
elseif redis.call('EXISTS', PARENTS .. id) == 0 then
  take_out(batch, r, id)
  r.due = tonumber(ARGV[5])
  r.rev, r.state = r.rev + 1, r.due <= now and PENDING or SCHEDULED
  put_in(batch, r, id)
end
write_batch(batch)
return r.state == PENDING and {r.queue} or {}
