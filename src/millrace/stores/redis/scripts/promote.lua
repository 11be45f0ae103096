-- Make due jobs pending, scheduled and failed ones, the longest due first.
-- ARGV: now, at most how many
-- Answer: how many
-- Costs O(k log N) for k jobs, of which the client asks for at most 500.
--! keys: meta line: tasks: turns serial queues later odd: counts wake
--! include common
--! include promote

local promoted, queues = promote(due_ones(clock(ARGV[1]), ARGV[2]))
tell(queues)
return promoted
