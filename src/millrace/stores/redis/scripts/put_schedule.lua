-- Write a schedule, if it still has the number of changes that it was read with.
-- ARGV: now, its name, that number (0: it is not there yet), its record without the number, its next tick or empty
-- Answer: 1 where it was written
-- Costs O(log N) for N schedules.
--! keys: schedules schedules_due
--! include schedules
--! durable

return write_schedule(ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]) and 1 or 0
