-- Delete ended jobs that finished before a time: one stretch of the walk over those there are.
-- ARGV: now, the time, the states (digits), how many at most (200), the set to walk over (the number of a state: those
--   of that one; empty: all that have ended), how many of it stay and were passed over
-- Answer: how many went; how many stay and are passed over now; 1 where there is more to look at
-- Looks at 1,000 jobs. Costs O(n log N) for n that go.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local MOST = 1000

local before, states, most, passed = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6])
local set = ARGV[5] == '' and ENDED or ODD .. ARGV[5]
local ids = redis.call('ZRANGE', set, passed, passed + MOST - 1)
if #ids == 0 then return {0, passed, 0} end

local going, looked = {}, 0
for place, record in ipairs(redis.call('HMGET', META, unpack(ids))) do
  if #going == most then break end
  looked = place
  local finished = record and struct.unpack('>i8', record, FINISHED)
  if record and finished < before and string.find(states, string.byte(record), 1, true) then
    going[#going + 1] = ids[place]
  end
end
local gone = 0
if #going > 0 then gone = remove_ended(going) end
if gone < #going then return {gone, passed, 1} end -- it stopped early: look again at the same place
return {gone, passed + looked - gone, (looked < #ids or #ids == MOST) and 1 or 0}
