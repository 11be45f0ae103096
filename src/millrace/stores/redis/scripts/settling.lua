-- Tell what there is to settle: jobs whose links may not all be written, and parents that have ended and not acted.
-- ARGV: now, how many of each at most
-- Answer: whether any job waits for another (1); ids of such jobs; parents, and how each has ended, by turns
-- Costs O(log N + n) for n told.
--! keys: later followed settle
--! include basics
--! include held

local most = tonumber(ARGV[2])
local untied = redis.call('ZRANGEBYSCORE', LATER, whole(HELD), whole(HELD), 'LIMIT', 0, most)
local ended = {}
if redis.call('EXISTS', SETTLE) == 1 then ended = redis.call('HRANDFIELD', SETTLE, most, 'WITHVALUES') end
return {(untied[1] or redis.call('EXISTS', FOLLOWED) == 1) and 1 or 0, untied, ended}
