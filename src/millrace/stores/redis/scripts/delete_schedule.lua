-- Delete a schedule and what is known of its ticks.
-- ARGV: now, its name
-- Answer: 1 where it was there
-- Costs O(log N + t) for N schedules and its t ticks.
--! keys: schedules schedules_due ticks:

redis.call('ZREM', SCHEDULES_DUE, ARGV[2])
redis.call('DEL', TICKS .. ARGV[2])
return redis.call('HDEL', SCHEDULES, ARGV[2])
