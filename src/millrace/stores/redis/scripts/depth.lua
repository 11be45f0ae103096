-- Count what waits for a worker in all queues: pending, and due but not promoted.
-- ARGV: now
-- Answer: how many
-- Costs O(queues).
--! keys: later counts
--! include common

local number = redis.call('ZCOUNT', LATER, '-inf', whole(clock(ARGV[1])))
local fields = redis.call('HGETALL', COUNTS)
for place = 1, #fields, 2 do
  if string.sub(fields[place], 1, 2) == '1:' then number = number + fields[place + 1] end
end
return number
