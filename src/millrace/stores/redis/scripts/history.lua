-- Read a job's record and the rows of its ended attempts.
-- ARGV: now, the id
-- Answer: the record, nil where there is no such job; the rows, oldest first
-- Bounded by the rows that a job keeps.
--! keys: meta attempts:

return {redis.call('HGET', META, ARGV[2]), redis.call('LRANGE', ATTEMPTS .. ARGV[2], 0, -1)}
