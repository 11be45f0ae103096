-- What the scripts share: the clock, the record of a job, the lines of what is pending, the counts.
-- Put in front of a script that says `--! include common`. A function may be used where the keys that it names are
-- among the script's own.
--! include basics

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

local NOBODY = string.rep('\0', 8)

-- The record of a job, as `record.py` has it too: in front what a claim and a finish write, then the rest of fixed
-- form, then queue, task and unique key, then a byte of salt: Lua hashes of a long string one byte in so many, but
-- always the last, and looks through all strings of one hash. Times of 0 are none; `expires` of -1 is never.
local FORM = '>BBI4I4I4i8i8i8i8c8I4I4I4hi8i8'
local FINISHED, DUE = 31, 69

-- The queue, the task and the unique key of a record, the last empty where there is none; and for a job that holds its
-- key for another time than its life an empty key, then the key, then for how long: 'started', or microseconds from its
-- insert. Jobs that come together are often alike in them, so the last answer is kept.
local last_names, last_queue, last_task, last_key, last_scoped, last_scope
local function names_of(text)
  local names = string.sub(text, NAMES, -2)
  if names ~= last_names then
    local first = string.find(names, '\0', 1, true)
    local second = string.find(names, '\0', first + 1, true)
    last_names, last_queue, last_task, last_key, last_scoped, last_scope =
      names, string.sub(names, 1, first - 1), string.sub(names, first + 1, second - 1), string.sub(names, second + 1)
    local third = string.find(last_key, '\0', 1, true)
    if third then
      last_key, last_scoped, last_scope = '', string.sub(last_key, 1, third - 1), string.sub(last_key, third + 1)
    end
  end
  return last_queue, last_task, last_key, last_scoped, last_scope
end

local function read_record(text)
  local state, reason, claim, rev, attempt, started, lease, finished, expires, worker,
    max_attempts, crashes, max_crashes, priority, due, created = struct.unpack(FORM, text)
  local queue, task, key, scoped, scope = names_of(text)
  return { -- at once, since a table that grows field by field is made anew five times
    state = state, reason = reason, claim = claim, rev = rev, attempt = attempt, started = started, lease = lease,
    finished = finished, expires = expires, worker = worker, max_attempts = max_attempts, crashes = crashes,
    max_crashes = max_crashes, priority = priority, due = due, created = created,
    names = string.sub(text, NAMES), queue = queue, task = task, key = key,
    scoped = scoped, scope = scope,
  }
end

local function write_record(r)
  return struct.pack(FORM, r.state, r.reason, r.claim, r.rev, r.attempt, r.started, r.lease, r.finished, r.expires,
    r.worker, r.max_attempts, r.crashes, r.max_crashes, r.priority, r.due, r.created) .. r.names
end

-- Whether a job that holds its key for another time than its life still does, as `holding.py` has it too.
local function still_holds(r, now)
  if r.scope == 'started' then return r.started == 0 and r.state < COMPLETED end
  return now < r.created + tonumber(r.scope)
end

-- (META) The id of the job that holds a key, nil where none does, by what stands for the key in `uniq`: the id of a job
-- that holds it while it lives, or with a star the id of one that may have given it up: whoever wants it takes it over.
local function holder_of(entry, now)
  if not entry then return nil end
  if #entry == 16 then return entry end
  local id = string.sub(entry, 1, 16)
  local record = redis.call('HGET', META, id)
  return record and still_holds(read_record(record), now) and id or nil
end

-- The due time that a place in a line tells.
local function due_of(score, member, priority)
  return (score + priority * 137438953472) * 65536 + struct.unpack('>H', member)
end

-- (LINE) The key of a line.
local function line_of(queue, task)
  return LINE .. queue .. '\0' .. task
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
  local of_state = counts[state]
  if not of_state then
    of_state = {}
    counts[state] = of_state
  end
  of_state[queue] = (of_state[queue] or 0) + by
end

-- (COUNTS)
local function write_counts(counts)
  for state, queues in pairs(counts) do
    for queue, by in pairs(queues) do
      if by ~= 0 and redis.call('HINCRBY', COUNTS, state .. ':' .. queue, by) == 0 then
        redis.call('HDEL', COUNTS, state .. ':' .. queue)
      end
    end
  end
end

-- (WAKE) Tell who listens that queues have got jobs.
local function tell(queues)
  for _, queue in ipairs(queues) do redis.call('PUBLISH', WAKE, queue) end
end

-- (META BODY RESULT ERROR PROGRESS) Return what jobs are told by, as five lists: records, bodies, results, errors and
-- progress, false for what is not there; see `rows.py`. The last three only a job has that was claimed once.
local function read_parts(ids)
  return read_fields(META, ids), read_fields(BODY, ids), read_fields(RESULT, ids), read_fields(ERROR, ids),
    read_fields(PROGRESS, ids)
end
