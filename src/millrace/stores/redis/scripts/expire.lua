-- Delete jobs whose retention has passed, those first that expired first, with all that belongs to them.
-- ARGV: now, how many at most (200)
-- Answer: how many; 1 where there may be more, for it stops early where jobs are large
-- Costs O(n log N) for n jobs.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local now, most = clock(ARGV[1]), tonumber(ARGV[2])
local ids = redis.call('ZRANGEBYSCORE', ENDED, '-inf', '(' .. whole(now), 'LIMIT', 0, most)
local gone = remove_ended(ids)
return {gone, (gone < #ids or #ids == most) and 1 or 0}
