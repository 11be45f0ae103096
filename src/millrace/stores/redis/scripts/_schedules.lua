-- What the scripts of schedules share. The record of one in the hash `schedules`: how often it was changed, in eight
-- bytes, then what `schedules.py` packs and nobody here reads.

-- (SCHEDULES SCHEDULES_DUE) Write a schedule, if it was changed `rev` times, and when it ticks next, empty for never.
local function write_schedule(name, rev, packed, next)
  local known = redis.call('HGET', SCHEDULES, name)
  if (known and struct.unpack('>I8', known) or 0) ~= rev then return false end
  redis.call('HSET', SCHEDULES, name, struct.pack('>I8', rev + 1) .. packed)
  if next == '' then
    redis.call('ZREM', SCHEDULES_DUE, name)
  else
    redis.call('ZADD', SCHEDULES_DUE, next, name)
  end
  return true
end
