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

-- Ids come joined, as one argument.
local function cut_ids(text)
  local ids = {}
  for place = 1, #text / 16 do ids[place] = string.sub(text, place * 16 - 15, place * 16) end
  return ids
end

-- At most 2,000 values a command: Lua's stack holds no more than 8,000.
local function in_pieces(command, key, list)
  for first = 1, #list, 2000 do
    redis.call(command, key, unpack(list, first, math.min(first + 1999, #list)))
  end
end

local SCHEDULED, PENDING, RUNNING, CANCELLING, FAILED, COMPLETED, DEAD, CANCELLED = 0, 1, 2, 3, 4, 5, 6, 7
local NOBODY = string.rep('\0', 8)

-- The record of a job, as `record.py` has it too: in front what a claim and a finish write, then the rest of fixed
-- form, then queue, task and unique key, then a byte of salt: Lua hashes of a long string one byte in so many, but
-- always the last, and looks through all strings of one hash. Times of 0 are none; `expires` of -1 is never.
local FORM = '>BBI4I4I4i8i8i8i8c8I4I4I4hi8i8'
local WORKER, REST, NAMES = 47, 55, 85 -- where in it the worker stands, what a claim leaves as it is, and the names
local FINISHED, DUE = 31, 69

local function read_names(r)
  local names = r.names
  local first = string.find(names, '\0', 1, true)
  local second = string.find(names, '\0', first + 1, true)
  r.queue = string.sub(names, 1, first - 1)
  r.task = string.sub(names, first + 1, second - 1)
  r.key = string.sub(names, second + 1, -2) -- empty: none
end

local function read_record(text)
  local r = {}
  r.state, r.reason, r.claim, r.rev, r.attempt, r.started, r.lease, r.finished, r.expires, r.worker,
    r.max_attempts, r.crashes, r.max_crashes, r.priority, r.due, r.created = struct.unpack(FORM, text)
  r.names = string.sub(text, NAMES)
  read_names(r)
  return r
end

local function write_record(r)
  return struct.pack(FORM, r.state, r.reason, r.claim, r.rev, r.attempt, r.started, r.lease, r.finished, r.expires,
    r.worker, r.max_attempts, r.crashes, r.max_crashes, r.priority, r.due, r.created) .. r.names
end

-- The queue of a record, and its unique key, empty where there is none.
local function queue_and_key(text)
  local first = string.find(text, '\0', NAMES, true)
  local second = string.find(text, '\0', first + 1, true)
  return string.sub(text, NAMES, first - 1), string.sub(text, second + 1, -2)
end

-- Return of a body the tags and the options, nil where it has none, and where its arguments begin; behind them is a
-- byte of salt. Bodies without either, nearly all, begin with a zero.
local function read_body(body)
  if string.byte(body) == 0 then return nil, nil, 2 end
  local length = struct.unpack('>I4', body, 2)
  local head = cmsgpack.unpack(string.sub(body, 6, 5 + length))
  return head[1] or nil, head[2] or nil, 6 + length
end

-- The place of a job in its line: score, then the first two bytes of the member, then the id. The score is a whole
-- number below 2^53, the rest of the due time is in the member, and equal scores are sorted by member: so the order is
-- that of priority (high first), due (in microseconds), id, for due times from 1970 to 2255.
local function rank(priority, due)
  if due < 0 then due = 0 end
  local coarse = math.floor(due / 65536)
  return coarse - priority * 137438953472, struct.pack('>H', due - coarse * 65536)
end

-- The due time that a place in a line tells.
local function due_of(score, member, priority)
  return (score + priority * 137438953472) * 65536 + struct.unpack('>H', member)
end

-- (LINE) The key of a line.
local function line_of(queue, task)
  return LINE .. queue .. '\0' .. task
end

-- (QUEUES) Return the settings of a queue: its priority, whether it is paused, and its limit or nil.
local function settings_of(queue)
  local settings = redis.call('HGET', QUEUES, queue)
  if not settings then return 0, false, nil end
  settings = cmsgpack.unpack(settings)
  return settings[1], settings[2], settings[3] or nil
end

-- (QUEUES TURNS SERIAL) Let a queue take part in the turns, at the end of those of its priority, unless it is paused.
local function enter_turns(queue)
  local priority, paused = settings_of(queue)
  if not paused then
    local serial = redis.call('GET', SERIAL) or 0
    redis.call('ZADD', TURNS, 'NX', whole(tonumber(serial) - priority * 137438953472), queue)
  end
end

-- (LINE TASKS QUEUES TURNS SERIAL) Put places (score, member, score, member, …) into a line.
local function enter_line(queue, task, places)
  local line = line_of(queue, task)
  in_pieces('ZADD', line, places)
  if redis.call('ZCARD', line) * 2 <= #places then -- it was empty, so nobody knew of it
    redis.call('SADD', TASKS .. queue, task)
    enter_turns(queue)
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
  for _, places in pairs(lines) do
    enter_line(places.queue, places.task, places)
    if not seen[places.queue] then
      seen[places.queue] = true
      queues[#queues + 1] = places.queue
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

-- (WAKE) Tell who listens that queues have got jobs.
local function tell(queues)
  for _, queue in ipairs(queues) do redis.call('PUBLISH', WAKE, queue) end
end

-- Fields of a hash, false for one that is not there.
local function read_fields(key, ids)
  if not ids[1] then return {} end
  if #ids <= 2000 then return redis.call('HMGET', key, unpack(ids)) end
  local fields = {}
  for first = 1, #ids, 2000 do
    for _, field in ipairs(redis.call('HMGET', key, unpack(ids, first, math.min(first + 1999, #ids)))) do
      fields[#fields + 1] = field
    end
  end
  return fields
end

-- (META BODY RESULT ERROR PROGRESS) Return what jobs are told by, as five lists: records, bodies, results, errors and
-- progress, false for what is not there; see `rows.py`. The last three only a job has that was claimed once.
local function read_parts(ids)
  return read_fields(META, ids), read_fields(BODY, ids), read_fields(RESULT, ids), read_fields(ERROR, ids),
    read_fields(PROGRESS, ids)
end
