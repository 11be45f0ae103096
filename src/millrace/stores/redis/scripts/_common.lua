-- What the scripts share: the clock, the record of a job, the lines of what is pending, the counts.
-- Put in front of a script that says `--! include common`. A function may be used where the keys that it names are
-- among the script's own.

-- Times are microseconds since 1970; a double holds them exactly until 2255.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- A whole number as text: tostring would write a large one as 1.7e+15.
local function whole(number)
  return string.format('%.0f', number)
end

local SCHEDULED, PENDING, RUNNING, CANCELLING, FAILED, COMPLETED, DEAD, CANCELLED = 0, 1, 2, 3, 4, 5, 6, 7

-- The record of a job, as `record.py` has it too: what changes in a fixed form, then queue, task and unique key.
local FORM = '>BBI4I4I4I4I4I4hddddddc8'

local function read_record(text)
  local r = {}
  local at
  r.state, r.reason, r.claim, r.rev, r.attempt, r.max_attempts, r.crashes, r.max_crashes, r.priority,
    r.due, r.created, r.started, r.lease, r.finished, r.expires, r.worker, at = struct.unpack(FORM, text)
  r.names = string.sub(text, at)
  local first = string.find(r.names, '\0', 1, true)
  local second = string.find(r.names, '\0', first + 1, true)
  r.queue = string.sub(r.names, 1, first - 1)
  r.task = string.sub(r.names, first + 1, second - 1)
  r.key = string.sub(r.names, second + 1) -- empty: none
  return r
end

local function write_record(r)
  return struct.pack(FORM, r.state, r.reason, r.claim, r.rev, r.attempt, r.max_attempts, r.crashes, r.max_crashes,
    r.priority, r.due, r.created, r.started, r.lease, r.finished, r.expires, r.worker) .. r.names
end

local NOBODY = string.rep('\0', 8)

-- The place of a job in its line: score, then the first two bytes of the member, then the id. The score is a whole
-- number below 2^53, the rest of the due time is in the member, and equal scores are sorted by member: so the order is
-- that of priority (high first), due (in microseconds), id, until 2063.
local function rank(priority, due)
  local hundredths = math.floor(due / 10000)
  return hundredths - 157783680000 - priority * 137438953472, struct.pack('>H', due - hundredths * 10000)
end

-- (LINE) The key of a line.
local function line_of(queue, task)
  return LINE .. queue .. '\0' .. task
end

-- (QUEUES TURNS SERIAL) Let a queue take part in the turns, at the end of those of its priority, unless it is paused.
local function enter_turns(queue)
  local settings = redis.call('HGET', QUEUES, queue)
  local priority, paused = 0, false
  if settings then
    settings = cmsgpack.unpack(settings)
    priority, paused = settings[1], settings[2]
  end
  if not paused then
    local serial = redis.call('GET', SERIAL) or 0
    redis.call('ZADD', TURNS, 'NX', whole(tonumber(serial) - priority * 137438953472), queue)
  end
end

-- Gather places for `enter_lines`: `lines` is a table that begins empty.
local function gather(lines, r, id)
  local name = r.queue .. '\0' .. r.task
  local places = lines[name]
  if not places then
    places = {queue = r.queue, task = r.task}
    lines[name] = places
  end
  local score, rest = rank(r.priority, r.due)
  places[#places + 1] = whole(score)
  places[#places + 1] = rest .. id
end

-- (LINE TASKS QUEUES TURNS SERIAL) Put what was gathered into its lines; returns the queues, each once.
local function enter_lines(lines)
  local queues, seen = {}, {}
  for name, places in pairs(lines) do
    for first = 1, #places, 2000 do
      redis.call('ZADD', LINE .. name, unpack(places, first, math.min(first + 1999, #places)))
    end
    redis.call('SADD', TASKS .. places.queue, places.task)
    if not seen[places.queue] then
      seen[places.queue] = true
      queues[#queues + 1] = places.queue
      enter_turns(places.queue)
    end
  end
  return queues
end

-- (LINE TASKS TURNS) After a line has lost members: forget it where it is empty, and its queue where all its are.
local function leave_line(queue, task)
  if redis.call('EXISTS', line_of(queue, task)) == 0 then
    redis.call('SREM', TASKS .. queue, task)
    if redis.call('EXISTS', TASKS .. queue) == 0 then
      redis.call('ZREM', TURNS, queue)
    end
  end
end

-- (LINE TASKS TURNS) Take one pending job out of its line.
local function leave(r, id)
  local _, rest = rank(r.priority, r.due)
  redis.call('ZREM', line_of(r.queue, r.task), rest .. id)
  leave_line(r.queue, r.task)
end

-- Gather changes of counts for `write_counts`: `counts` is a table that begins empty.
local function count(counts, state, queue, by)
  local field = state .. ':' .. queue
  counts[field] = (counts[field] or 0) + by
end

-- (COUNTS)
local function write_counts(counts)
  for field, by in pairs(counts) do
    if by ~= 0 and redis.call('HINCRBY', COUNTS, field, by) == 0 then
      redis.call('HDEL', COUNTS, field)
    end
  end
end

-- Tell who listens that a queue has got jobs. CHANNEL is the name of the deployment, without a colon.
local function tell(channel, queues)
  for _, queue in ipairs(queues) do
    redis.call('PUBLISH', channel, queue)
  end
end
