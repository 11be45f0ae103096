-- Insert jobs in order, all or none: those whose id is there, or whose unique key a live job holds, are left out.
-- ARGV: now; msgpack of [how many, how many kinds, kind of each or nil (all of the first), whether any has a key,
--   due time of each or nil, delay of each or nil, tags of each or nil, of each whether it changes the holder of its key
--   while that waits: 0 no, 1 its arguments, 2 its due time too, 3 it stops all where there is one; or nil]; ids; the
--   kinds; the bodies
--   A kind is what many jobs share of a record: tries and priority, then the names.
-- Answer: the time; where some were left out also the place of each and whether by its key (1), by turns, and the ids
--   that stood in the way with their records, bodies, results, errors and progress; last, where nothing was written
--   because of one that stops all, its place
-- Costs O(n log N) for n jobs, at most 1,000, or 500 with keys or tags. Full memory refuses it whole: the first write
-- is one that needs some.
--! keys: meta body result error progress line: tasks: turns serial queues later all odd: uniq counts tag: wake
--! durable
--! include basics
--! include plain_insert
--! include common
--! include holders
--! include insert

return insert_jobs(clock(ARGV[1]), 2)
