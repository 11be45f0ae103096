-- The little that also the short ways through a script need: the clock, the states, the order of a line, bodies.
-- Put in front by `common`, or by a script that has an answer for the plain case before it comes to that.

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
-- Where in a record, whose form `common` has, the worker stands, what a claim leaves as it is, and the names.
local WORKER, REST, NAMES = 47, 55, 85

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

-- The name of a task, without the group that may stand behind it: `record.py` puts it there for what falls under limits.
local function plain_task(task)
  local mark = string.find(task, '\255', 1, true)
  return mark and string.sub(task, 1, mark - 1) or task
end

-- (QUEUES) Return the settings of a queue: its priority, whether it is paused, its limit or nil, its rate or nil.
local function settings_of(queue)
  local settings = redis.call('HGET', QUEUES, queue)
  if not settings then return 0, false, nil end
  settings = cmsgpack.unpack(settings)
  return settings[1], settings[2], settings[3] or nil, settings[4] or nil
end

-- (QUEUES TURNS SERIAL) Let a queue take part in the turns, at the end of those of its priority, unless it is paused.
local function enter_turns(queue)
  local priority, paused = settings_of(queue)
  if not paused then
    local serial = redis.call('GET', SERIAL) or 0
    redis.call('ZADD', TURNS, 'NX', whole(tonumber(serial) - priority * 137438953472), queue)
  end
end
