-- Note that all links of jobs are written.
-- ARGV: now; ids of jobs
-- Answer: nothing
--! keys: meta later
--! include common
--! include held

for _, id in ipairs(cut_ids(ARGV[2])) do
  local record = redis.call('HGET', META, id)
  local r = record and read_record(record)
  if r and r.state == SCHEDULED and r.due == HELD then
    r.due = 2 * HELD
    redis.call('HSET', META, id, write_record(r))
    redis.call('ZADD', LATER, whole(r.due), id)
  end
end
return {}
