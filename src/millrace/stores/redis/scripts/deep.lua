-- Look whether jobs are in exactly the places that their records say, and in no other: a stretch of all jobs, by id.
-- ARGV: now, the id after which to go on (empty: from the first)
-- Answer: the id after which to go on, empty at the end; how many jobs of each state and queue there were, by turns
--   with their fields in `counts`; ids and what is wrong with them, by turns
-- Looks at 200 jobs. Changes nothing.
--! keys: meta body line: tasks: turns queues later lease ended all odd: uniq tag: attempts: log:
--! include common

local MOST, MOST_ATTEMPTS, MOST_LINES = 200, 50, 1000

local now, after = clock(ARGV[1]), ARGV[2]
local ids = redis.call('ZRANGE', ALL, after == '' and '-' or '(' .. after, '+', 'BYLEX', 'LIMIT', 0, MOST)
if #ids == 0 then return {'', {}, {}} end
local numbers, faults = {}, {}

local function fault(id, text)
  faults[#faults + 1] = id
  faults[#faults + 1] = text
end

local function odd(state)
  return ODD .. state
end

local PLACES = {later = LATER, lease = LEASE, ended = ENDED, ['odd:3'] = odd(3), ['odd:4'] = odd(4),
  ['odd:6'] = odd(6), ['odd:7'] = odd(7)}
local found = {}
for name, key in pairs(PLACES) do found[name] = redis.call('ZMSCORE', key, unpack(ids)) end

-- The scores that a record promises, by place.
local function promised(r)
  local scores, state = {}, r.state
  if state == SCHEDULED or state == FAILED then scores.later = r.due end
  if state == RUNNING or state == CANCELLING then scores.lease = r.lease end
  if state >= COMPLETED then scores.ended = r.expires < 0 and math.huge or r.expires end
  if PLACES['odd:' .. state] then scores['odd:' .. state] = 0 end
  return scores
end

local function check_places(r, id, place)
  local scores = promised(r)
  for name in pairs(PLACES) do
    local there, wanted = found[name][place], scores[name]
    if there and tonumber(there) ~= wanted then
      fault(id, 'stands in ' .. name .. ' at ' .. there .. ' instead of ' .. tostring(wanted and whole(wanted)))
    elseif wanted and not there then
      fault(id, 'is missing in ' .. name)
    end
  end
end

local function check_line(r, id)
  local score, rest = rank(r.priority, r.due)
  local there = redis.call('ZSCORE', line_of(r.queue, r.task), rest .. id)
  if not there then
    fault(id, 'is missing in its line')
  elseif tonumber(there) ~= score then
    fault(id, 'stands in its line at ' .. there .. ' instead of ' .. whole(score))
  end
  if redis.call('SISMEMBER', TASKS .. r.queue, r.task) == 0 then
    fault(id, 'waits for a task that its queue does not know')
  end
  local priority, paused = settings_of(r.queue)
  local turn = redis.call('ZSCORE', TURNS, r.queue)
  if paused and turn then fault(id, 'waits in a paused queue that has a turn') end
  if not paused and not turn then fault(id, 'waits in a queue that has no turn') end
  if turn and math.floor(turn / 137438953472) ~= -priority then
    fault(id, 'waits in a queue whose turn is not that of its priority')
  end
end

local function check_key(r, id)
  local holder = redis.call('HGET', UNIQ, r.key)
  if r.state < COMPLETED and holder ~= id then fault(id, 'does not hold its unique key') end
  if r.state >= COMPLETED and holder == id then fault(id, 'has ended and holds its unique key') end
end

local function check_belongings(body, id)
  if not body then return fault(id, 'has no body') end
  for _, tag in ipairs((read_body(body)) or {}) do
    if not redis.call('ZSCORE', TAG .. tag, id) then fault(id, 'is missing under tag ' .. tag) end
  end
  if redis.call('LLEN', ATTEMPTS .. id) > MOST_ATTEMPTS then fault(id, 'has too many attempts') end
  if redis.call('LLEN', LOG .. id) > MOST_LINES then fault(id, 'has too many log lines') end
end

local records, bodies = redis.call('HMGET', META, unpack(ids)), redis.call('HMGET', BODY, unpack(ids))
for place, id in ipairs(ids) do
  if not records[place] then
    fault(id, 'is listed and has no record')
  else
    local r = read_record(records[place])
    count(numbers, r.state, r.queue, 1)
    check_places(r, id, place)
    if r.state == PENDING then check_line(r, id) end
    if r.key ~= '' then check_key(r, id) end
    if r.scoped and still_holds(r, now) and redis.call('HGET', UNIQ, r.scoped) ~= id .. '*' then
      fault(id, 'does not hold its unique key')
    end
    check_belongings(bodies[place], id)
  end
end

local told = {}
for state, queues in pairs(numbers) do
  for queue, number in pairs(queues) do
    told[#told + 1] = state .. ':' .. queue
    told[#told + 1] = number
  end
end
return {#ids == MOST and ids[#ids] or '', told, faults}
