-- Write a queue's settings, and let it take part in the turns as they say.
-- ARGV: now, the queue, in msgpack: paused (1, 0, or -1: as it is), then, where they are written: priority, concurrency
--   and rate (false: no limit)
-- Costs O(log queues).
--! keys: queues turns serial tasks: wake
--! include common

local queue = ARGV[2]
local paused, priority, concurrency, rate = unpack(cmsgpack.unpack(ARGV[3]))
local known = redis.call('HGET', QUEUES, queue)
local before = known and cmsgpack.unpack(known) or {0, false, false}
local after = {before[1], before[2], before[3], before[4] or nil}
if paused >= 0 then after[2] = paused == 1 end
if priority then after[1], after[3], after[4] = priority, concurrency, rate or nil end
redis.call('HDEL', QUEUES, '') -- frees nothing, but lets the rest through where memory is full
redis.call('HSET', QUEUES, queue, cmsgpack.pack(after))

local turn = redis.call('ZSCORE', TURNS, queue)
if after[2] then
  redis.call('ZREM', TURNS, queue)
elseif turn then
  redis.call('ZADD', TURNS, whole(turn + (before[1] - after[1]) * 137438953472), queue) -- its turn among equals stays
elseif redis.call('EXISTS', TASKS .. queue) == 1 then
  enter_turns(queue)
end
redis.call('PUBLISH', WAKE, queue)
return 1
