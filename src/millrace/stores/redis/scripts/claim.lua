-- Claim pending jobs: the queue whose turn it is, then the next where it has too few. What is due is promoted first;
-- where that are more than a hundred jobs, nothing is claimed, and the answer says so: they are promoted in chunks.
-- ARGV: now, worker, msgpack of [at most how many, queues or nil, tasks or nil, lease, lease by task or nil]
-- Answer: the time; 1 where jobs must be promoted first, 2 where some were left in line behind large ones, else 0; ids
--   and records by turns; bodies; what earlier attempts have left: place, result, error, progress; where only a rate
--   holds back what is left, the time at which that ends
-- Costs O(q + t + n log N) for q queues looked at, t lines of the queues served and n jobs, at most 500.
--! keys: meta body result error progress line: tasks: turns serial queues later lease odd: counts wake live: bucket:
--! keys: parties:
--! include basics
--! include plain_claim
--! include common
--! include promote
--! include merge
--! include limits

local FEW = 100 -- due jobs that a claim promotes itself
local MANY = 1000 -- queues that it looks at
local STEP = 20 -- queues read at once
local MOST_BYTES = 4194304 -- of bodies: once there are more, no other slice of them is read

local due = due_ones(now, FEW + 1)
if #due > FEW then return {whole(now), 1} end
local promoted, woken = promote(due)

local ids, counts, emptied, rated = {}, {}, {}, {}

local function merge(names, room)
  local heap, number = {}, math.ceil(room / #names) + 4
  for place, name in ipairs(names) do
    local line = {name = name, place = place, taken = 0, places = {}, at = -1, member = '', score = 0, one = 0, two = 0,
      three = 0}
    if advance(line, number) then heap[#heap + 1] = line end
  end
  for place = math.floor(#heap / 2), 1, -1 do sink(heap, place) end
  local lines, got = {}, 0
  for place, line in ipairs(heap) do lines[place] = line end
  while got < room and heap[1] do
    local line = heap[1]
    got = got + 1
    ids[#ids + 1] = string.sub(line.member, 3)
    line.taken = line.taken + 1
    if got < room and not advance(line, number) then
      heap[1] = heap[#heap]
      heap[#heap] = nil
    end
    if heap[1] then sink(heap, 1) end
  end
  local changed = {}
  for _, line in ipairs(lines) do
    if line.taken > 0 then
      redis.call('ZREMRANGEBYRANK', line.name, 0, line.taken - 1)
      changed[#changed + 1] = line.place
    end
  end
  return got, changed
end

-- Take up to `room` jobs of a queue out of its lines, in order; returns how many.
local function take(queue, room)
  local known, names, got, grouped = {}, {}, 0, false
  for _, task in ipairs(redis.call('SMEMBERS', TASKS .. queue)) do
    local name = plain_task(task)
    if not tasks or tasks[name] then
      grouped = grouped or name ~= task
      known[#known + 1] = task
      names[#names + 1] = line_of(queue, task)
    end
  end
  local changed = {1}
  if grouped then
    got, changed = choose(now, queue, known, names, room, ids)
  elseif #names == 1 then
    local places = redis.call('ZPOPMIN', names[1], room)
    for place = 1, #places, 2 do ids[#ids + 1] = string.sub(places[place], 3) end
    got = #places / 2
  elseif #names > 1 then
    got, changed = merge(names, room)
  end
  if got > 0 then
    for _, place in ipairs(changed) do emptied[#emptied + 1] = {queue, known[place]} end
    count(counts, PENDING, queue, -got)
    count(counts, RUNNING, queue, got)
  end
  return got
end

-- Serve a queue; returns its priority where it gave jobs.
local function serve(queue)
  local priority, paused, limit, rate = settings_of(queue)
  local room = wanted - #ids
  if paused then return end
  if limit then
    local live = redis.call('HMGET', COUNTS, RUNNING .. ':' .. queue, CANCELLING .. ':' .. queue)
    local taken = (counts[RUNNING .. ':' .. queue] or 0) + (tonumber(live[1]) or 0) + (tonumber(live[2]) or 0)
    room = math.min(room, limit - taken)
  end
  local bucket = rate and bucket_of(queue, '', '', rate)
  if bucket then
    room = math.min(room, tokens(now, bucket))
    rated[#rated + 1] = {queue, bucket}
  end
  local got = room > 0 and take(queue, room) or 0
  if bucket and got > 0 then spend(now, bucket, got) end
  if got > 0 then return priority end
end

-- Of those served, each stands behind all of its priority: it was its turn.
local function serve_in_turn(queues)
  local passed = {}
  for _, queue in ipairs(queues) do
    if #ids >= wanted then break end
    local priority = serve(queue)
    if priority then passed[#passed + 1] = {queue, priority} end
  end
  return passed
end

-- However many in front have nothing to give, the next claim looks at others.
local function move_behind(number)
  redis.call('ZREM', TURNS, '') -- frees nothing, but lets the rest through where memory is full
  local turns = redis.call('ZRANGE', TURNS, 0, number - 1, 'WITHSCORES')
  for place = 1, #turns, 2 do
    local level = math.floor(tonumber(turns[place + 1]) / 137438953472)
    local serial = redis.call('INCR', SERIAL)
    redis.call('ZADD', TURNS, 'XX', whole(serial + level * 137438953472), turns[place])
  end
end

local function end_turns(passed)
  for _, served in ipairs(passed) do
    local serial = redis.call('INCR', SERIAL)
    redis.call('ZADD', TURNS, 'XX', whole(serial - served[2] * 137438953472), served[1])
  end
end

if asked and #asked == 1 then
  serve(asked[1])
elseif asked and asked[1] then
  local turns, open = redis.call('ZMSCORE', TURNS, unpack(asked)), {}
  for place, queue in ipairs(asked) do
    if turns[place] then open[#open + 1] = {tonumber(turns[place]), queue, place} end
  end
  table.sort(open, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[3] < b[3]) end)
  for place, each in ipairs(open) do open[place] = each[2] end
  end_turns(serve_in_turn(open))
elseif not asked then
  -- Read all that are looked at before any is moved; most often the first has enough.
  local first, passed = 0, {}
  while #ids < wanted and first < MANY do
    local queues = redis.call('ZRANGE', TURNS, first, first + STEP - 1)
    for _, served in ipairs(serve_in_turn(queues)) do passed[#passed + 1] = served end
    if #queues < STEP then
      if first == 0 and #queues == 1 then passed = {} end -- it is alone
      break
    end
    first = first + STEP
  end
  end_turns(passed)
  if #ids < wanted and first >= MANY then move_behind(MANY) end
end

for _, line in ipairs(emptied) do leave_line(line[1], line[2]) end
for _, each in ipairs(rated) do
  if redis.call('EXISTS', TASKS .. each[1]) == 1 then note_next(now, each[2]) end
end
local nothing = room_at and {whole(now), 0, {}, {}, {}, whole(room_at)} or {whole(now), 0}
if not ids[1] then
  tell(woken)
  return nothing
end
write_buckets(now)
if promoted > 0 then tell(woken) end

local old, bodies, size, outcome = redis.call('HMGET', META, unpack(ids)), {}, 0, 0
for place = #ids, 1, -1 do
  if not old[place] then -- a line told of a job that is not there: that must not lose the others
    table.remove(ids, place)
    table.remove(old, place)
  end
end
if not ids[1] then return nothing end
for first = 1, #ids, SLICE do
  for _, body in ipairs(redis.call('HMGET', BODY, unpack(ids, first, math.min(first + SLICE - 1, #ids)))) do
    bodies[#bodies + 1] = body
    size = size + #body
  end
  if size > MOST_BYTES then break end
end
if #bodies < #ids then
  local lines = {}
  for place = #ids, #bodies + 1, -1 do
    local r = read_record(old[place])
    gather(lines, r, ids[place])
    count(counts, PENDING, r.queue, 1)
    count(counts, RUNNING, r.queue, -1)
    ids[place] = nil
  end
  enter_lines(lines)
  outcome = 2
end
local answer = hand_over(ids, old, bodies, outcome)
write_counts(counts)
if room_at then answer[6] = whole(room_at) end
return answer
