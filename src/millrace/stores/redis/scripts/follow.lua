-- Note who waits for parents. One that has ended is to act at once; one that is not there counts as cancelled.
-- ARGV: now; whether one that is not there may come yet (1); ids of parents; of each the ids of the jobs, joined
-- Answer: nothing
--! keys: meta followed settle followers:
--! durable
--! include common

for place, id in ipairs(cut_ids(ARGV[3])) do
  local record = redis.call('HGET', META, id)
  local state = record and string.byte(record) or CANCELLED
  in_pieces('SADD', FOLLOWERS .. id, cut_ids(ARGV[3 + place]))
  redis.call('SADD', FOLLOWED, id)
  if record and state >= COMPLETED then
    redis.call('HSET', SETTLE, id, state .. ':')
  elseif not record and ARGV[2] ~= '1' and redis.call('HEXISTS', SETTLE, id) == 0 then
    redis.call('HSET', SETTLE, id, CANCELLED .. ':gone:')
  end
end
return {}
