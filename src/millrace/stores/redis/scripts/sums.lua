-- Look whether the counts agree with the sizes of what they count.
-- ARGV: now
-- Answer: what was counted, what the counts say and what is there, by threes, where they differ; then the counts
-- Costs O(queues and lines). Changes nothing.
--! keys: meta body line: tasks: later lease ended all odd: counts
--! include common

local fields, sums, all, differing = redis.call('HGETALL', COUNTS), {}, 0, {}

local function compare(what, counted, there)
  if counted ~= there then
    for _, part in ipairs({what, counted, there}) do differing[#differing + 1] = part end
  end
end

local function sum_of(...)
  local sum = 0
  for place = 1, select('#', ...) do sum = sum + (sums[(select(place, ...))] or 0) end
  return sum
end

for place = 1, #fields, 2 do
  local state, queue = tonumber(string.sub(fields[place], 1, 1)), string.sub(fields[place], 3)
  local number = tonumber(fields[place + 1])
  sums[state], all = (sums[state] or 0) + number, all + number
  if number <= 0 then compare(fields[place], number, 1) end
  if state == PENDING then
    local waiting = 0
    for _, task in ipairs(redis.call('SMEMBERS', TASKS .. queue)) do
      waiting = waiting + redis.call('ZCARD', line_of(queue, task))
    end
    compare('pending in ' .. queue, number, waiting)
  end
end
compare('records', all, redis.call('HLEN', META))
compare('bodies', all, redis.call('HLEN', BODY))
compare('all', all, redis.call('ZCARD', ALL))
compare('later', sum_of(SCHEDULED, FAILED), redis.call('ZCARD', LATER))
compare('lease', sum_of(RUNNING, CANCELLING), redis.call('ZCARD', LEASE))
compare('ended', sum_of(COMPLETED, DEAD, CANCELLED), redis.call('ZCARD', ENDED))
for _, state in ipairs({CANCELLING, FAILED, DEAD, CANCELLED}) do
  compare('odd:' .. state, sum_of(state), redis.call('ZCARD', ODD .. state))
end
return {differing, fields}
