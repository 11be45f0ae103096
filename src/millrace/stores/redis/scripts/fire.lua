-- Write schedules and the jobs of their ticks, each schedule if it still has the number of changes it was read with.
-- ARGV: now; msgpack of, for each, [name, that number, next tick or empty, its ticks]; how many ticks of one are kept; for
--   each its record without the number; then, where there are jobs, one a tick in the same order, the arguments of
--   `insert`, or an empty one and their ids where they lie elsewhere
-- Answer: for each 1 where it was written
-- Costs O(t log N) for t ticks, at most 500.
--! keys: schedules schedules_due ticks: meta body result error progress line: tasks: turns serial queues later all odd: uniq counts tag: wake
--! include common
--! include holders
--! include schedules
--! include insert
--! durable

local firings, written, chosen, place = cmsgpack.unpack(ARGV[2]), {}, {}, 0
local jobs = 4 + #firings

for at, firing in ipairs(firings) do
  local name, rev, due, ticks = unpack(firing)
  local done = rev > 0 and write_schedule(name, rev, ARGV[3 + at], due)
  written[at] = done and 1 or 0
  local fired = TICKS .. name
  for _, tick in ipairs(ticks) do
    place = place + 1
    if done and redis.call('ZCOUNT', fired, tick, tick) == 0 then
      chosen[place] = true
      redis.call('ZADD', fired, tick, string.sub(ARGV[jobs + 1], place * 16 - 15, place * 16))
    end
  end
  if done and ticks[1] then redis.call('ZREMRANGEBYRANK', fired, 0, -1 - tonumber(ARGV[3])) end
end
if next(chosen) and ARGV[jobs] ~= '' then insert_jobs(clock(ARGV[1]), jobs, chosen) end
return written
