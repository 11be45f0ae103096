-- Note that a parent has acted on jobs, unless others have come to wait for it since.
-- ARGV: now; its id; the jobs that wait for it no longer, joined; how many were seen to wait; how it was said to have
--   ended; whether it is gone (1): then it will never act again
-- Answer: nothing
--! keys: followed settle followers:
--! include common

local id = ARGV[2]
local done = cut_ids(ARGV[3])
in_pieces('SREM', FOLLOWERS .. id, done)
if redis.call('SCARD', FOLLOWERS .. id) <= tonumber(ARGV[4]) - #done then
  if redis.call('HGET', SETTLE, id) == ARGV[5] then
    redis.call('HDEL', SETTLE, id)
    if ARGV[6] == '1' then redis.call('UNLINK', FOLLOWERS .. id) end
  end
  if redis.call('EXISTS', FOLLOWERS .. id) == 0 then redis.call('SREM', FOLLOWED, id) end
end
return {}
