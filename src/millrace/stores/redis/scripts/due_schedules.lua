-- Read schedules whose next tick has come, that came first first.
-- ARGV: now, at most how many
-- Answer: names; their records
-- Costs O(log N + n) for n of N schedules.
--! keys: schedules schedules_due
--! include common

local names = redis.call('ZRANGE', SCHEDULES_DUE, '-inf', whole(clock(ARGV[1])), 'BYSCORE', 'LIMIT', 0, ARGV[2])
return {names, read_fields(SCHEDULES, names)}
