-- Tell what waits for a worker by queue and task: how many, and the earliest due time. First the lines of pending jobs,
-- queue by queue, then the jobs that are due and not promoted yet.
-- ARGV: now, in msgpack: the queue to tell of (false: all), the queues whose lines are left to tell of (false: all that
--   have some), how many due jobs were looked at
-- Answer: the queues whose lines are left to tell of; how many due jobs were looked at, -1 where none are left; then
--   queue, task, number and earliest due time, which may name a queue and task twice
-- Looks at about 1,000 lines and as many due jobs, and is run again for more: with few of both all is told of one
-- moment.
--! keys: meta line: tasks: later counts
--! include common

local MOST = 1000
local now = clock(ARGV[1])
local only, left, seen = unpack(cmsgpack.unpack(ARGV[2]))
local work, answer = 0, {{}, -1}

local function say(queue, task, number, since)
  for _, part in ipairs({queue, task, number, whole(since)}) do answer[#answer + 1] = part end
end

local function queues_with_lines()
  if left then return left end
  if only then return {only} end
  local names = {}
  for _, field in ipairs(redis.call('HKEYS', COUNTS)) do
    if string.sub(field, 1, 2) == '1:' then names[#names + 1] = string.sub(field, 3) end
  end
  return names
end

-- The first of each priority is its longest due; the walk goes from one priority to the next.
local BAND = 137438953472

local function earliest(line)
  local since
  local from = '-inf'
  for _ = 1, MOST do
    local first = redis.call('ZRANGEBYSCORE', line, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if #first == 0 then break end
    work = work + 1
    local score = tonumber(first[2])
    local band = math.floor(score / BAND)
    local due = due_of(score, first[1], -band)
    if not since or due < since then since = due end
    from = whole((band + 1) * BAND)
  end
  return since
end

-- Tell of lines until enough was looked at.
local function tell_lines()
  for _, queue in ipairs(queues_with_lines()) do
    if work > MOST then
      answer[1][#answer[1] + 1] = queue
    else
      for _, task in ipairs(redis.call('SMEMBERS', TASKS .. queue)) do
        local line = line_of(queue, task)
        work = work + 1
        say(queue, task, redis.call('ZCARD', line), earliest(line))
      end
    end
  end
end

local function tell_due()
  local number = redis.call('ZCOUNT', LATER, '-inf', whole(now))
  local last = math.min(seen + MOST, number) - 1
  if last < seen then return end
  local found = {}
  for _, record in ipairs(redis.call('HMGET', META, unpack(redis.call('ZRANGE', LATER, seen, last)))) do
    local first = string.find(record, '\0', NAMES, true)
    local name = string.sub(record, NAMES, string.find(record, '\0', first + 1, true) - 1)
    if not only or string.sub(record, NAMES, first - 1) == only then
      local due = struct.unpack('>i8', record, DUE)
      local lane = found[name] or {number = 0, since = due, task = first - NAMES + 2}
      found[name] = lane
      lane.number, lane.since = lane.number + 1, math.min(lane.since, due)
    end
  end
  for name, lane in pairs(found) do
    say(string.sub(name, 1, lane.task - 2), string.sub(name, lane.task), lane.number, lane.since)
  end
  answer[2] = last + 1 < number and last + 1 or -1
end

tell_lines()
if #answer[1] > 0 then
  answer[2] = seen
else
  tell_due()
end
return answer
