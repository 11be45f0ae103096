-- Read all queues: their settings and their counts.
-- ARGV: now
-- Answer: the hash of settings, the hash of counts
-- Costs O(queues).
--! keys: queues counts

return {redis.call('HGETALL', QUEUES), redis.call('HGETALL', COUNTS)}
