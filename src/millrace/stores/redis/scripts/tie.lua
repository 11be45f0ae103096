-- Note for which parents jobs wait; only of jobs whose links are not written yet.
-- ARGV: now; ids of jobs; of each the ids of its parents, joined
-- Answer: nothing
--! keys: meta parents:
--! durable
--! include common
--! include held

for place, id in ipairs(cut_ids(ARGV[2])) do
  local record = redis.call('HGET', META, id)
  local r = record and read_record(record)
  if r and r.state == SCHEDULED and r.due == HELD then in_pieces('SADD', PARENTS .. id, cut_ids(ARGV[2 + place])) end
end
return {}
