-- Limits of keys, and rates; needs `common`, `merge` and these keys: meta line: live: bucket: parties:
-- A job that falls under limits waits in a line of its group, which stands behind the task's name and a byte that no
-- text in UTF-8 has: see `groups.py` for what is in it. Running jobs of a limited key are in a set of ids, entered by
-- their claim; whether one still runs its record tells, so none need leave the set. A bucket is a text of what is owed
-- and when, gone an hour after it is full.

local KEPT = 3600000 -- milliseconds

-- When the first token comes that was wanted and not there, nil where none was.
local room_at
local buckets, counters = {}, {}

local function gcd(a, b)
  while b > 0 do a, b = b, a % b end
  return a
end

-- The bucket of a queue, or of a task and key in it; `rate` is [how many, in how many microseconds].
local function bucket_of(queue, task, key, rate)
  local name = BUCKET .. table.concat({queue, task, key, whole(rate[1]), whole(rate[2])}, '\0')
  local bucket = buckets[name]
  if not bucket then
    local text, part = redis.call('GET', name), gcd(rate[1], rate[2])
    local debt, at = 0, 0
    if text then debt, at = string.match(text, '^(%d+):(%-?%d+)$') end
    bucket = {name = name, debt = tonumber(debt), at = tonumber(at), flow = rate[1] / part, cost = rate[2] / part}
    bucket.most = rate[1] * bucket.cost
    buckets[name] = bucket
  end
  return bucket
end

local function owed(now, bucket)
  return math.max(0, bucket.debt - math.max(0, now - bucket.at) * bucket.flow)
end

-- Note when a bucket has a token, unless it has one.
local function note_next(now, bucket)
  if bucket.most - owed(now, bucket) >= bucket.cost then return end
  local at = bucket.at + math.max(0, math.ceil((bucket.debt + bucket.cost - bucket.most) / bucket.flow))
  if not room_at or at < room_at then room_at = at end
end

local function tokens(now, bucket)
  return math.floor(math.max(0, bucket.most - owed(now, bucket)) / bucket.cost)
end

local function spend(now, bucket, number)
  bucket.debt = owed(now, bucket) + number * bucket.cost
  bucket.at = math.max(bucket.at, now)
  bucket.spent = true
end

local function write_buckets(now)
  for name, bucket in pairs(buckets) do
    if bucket.spent then
      local full = math.ceil((bucket.at - now + bucket.debt / bucket.flow) / 1000)
      redis.call('SET', name, whole(bucket.debt) .. ':' .. whole(bucket.at), 'PX', whole(full + KEPT))
    end
  end
end

-- The running jobs of a key: counted by the set, and where that seems full by the records of those in it.
local function counter_of(queue, task, key)
  local name = LIVE .. table.concat({queue, task, key}, '\0')
  local counter = counters[name]
  if not counter then
    counter = {name = name, number = redis.call('SCARD', name), new = {}}
    counters[name] = counter
  end
  return counter
end

local function has_room(counter, limit)
  if counter.number < limit then return true end
  if counter.proven then return false end
  counter.proven = true
  local members, gone = redis.call('SMEMBERS', counter.name), {}
  for place, record in ipairs(read_fields(META, members)) do
    local state = record and string.byte(record)
    if state ~= RUNNING and state ~= CANCELLING then gone[#gone + 1] = members[place] end
  end
  in_pieces('SREM', counter.name, gone)
  counter.number = counter.number - #gone
  return counter.number < limit
end

-- What stands behind a task's name, made ready for a line whose turn it is: its counter and its bucket.
local function read_limits(queue, line)
  line.ready = true
  if not line.group then return end
  local limit, limit_key, rate, rate_key = unpack(cjson.decode(line.group), 1, 4)
  if limit ~= cjson.null then line.limit, line.counter = limit, counter_of(queue, line.task, limit_key) end
  if rate ~= cjson.null then line.bucket = bucket_of(queue, line.task, rate_key, rate) end
end

local function fits(now, queue, line)
  if not line.ready then read_limits(queue, line) end
  if line.counter and not has_room(line.counter, line.limit) then return false end
  if not line.bucket or line.bucket.most - owed(now, line.bucket) >= line.bucket.cost then return true end
  note_next(now, line.bucket)
  return false
end

-- Return the party that takes its turn for what stands in a line, and the group, nil where there is none.
local function party_of(task, name)
  if name == task then return '', nil end
  local group = string.sub(task, #name + 2)
  if string.sub(group, -5) == 'null]' then return '', group end
  return name .. '\0' .. cjson.decode(group)[5], group
end

-- Let the next place of a party that has room come to the top of its heap of lines; false where there is none.
local function settle(now, queue, heap)
  while heap[1] do
    local line, there = heap[1], true
    if line.chosen then
      line.taken, line.chosen = line.taken + 1, false
      line.number = math.min(line.number * 4, 256)
      there = advance(line, line.number)
      if there then sink(heap, 1) end
    elseif fits(now, queue, line) then
      return true
    else
      there = false
    end
    if not there then
      heap[1] = heap[#heap]
      heap[#heap] = nil
      if heap[1] then sink(heap, 1) end
    end
  end
  return false
end

-- Of two parties the one of the higher priority comes first, else the one whose turn it is.
local function sooner(a, b)
  if a.level ~= b.level then return a.level < b.level end
  return a.turn < b.turn
end

local function sink_party(heap, place)
  local party, size = heap[place], #heap
  while true do
    local child = 2 * place
    if child > size then break end
    if child < size and sooner(heap[child + 1], heap[child]) then child = child + 1 end
    if not sooner(heap[child], party) then break end
    heap[place] = heap[child]
    place = child
  end
  heap[place] = party
end

local function level_of(party)
  return math.floor(party.lines[1].score / 137438953472)
end

local COUNT = '\0' -- beside the parties of a queue: how many turns there were

-- Read when each party had its last turn; returns how many turns there were.
local function read_turns(queue, list)
  local names = {COUNT}
  for place, party in ipairs(list) do names[place + 1] = party.name end
  local turns = read_fields(PARTIES .. queue, names)
  for place, party in ipairs(list) do party.turn = tonumber(turns[place + 1] or 0) end
  return tonumber(turns[1] or 0)
end

-- Those that have long had no jobs are forgotten, with all others, once they are many.
local function write_turns(queue, served, turn, number)
  local key = PARTIES .. queue
  if redis.call('HLEN', key) > 4 * number + 1000 then redis.call('UNLINK', key) end
  served[#served + 1], served[#served + 2] = COUNT, whole(turn)
  in_pieces('HSET', key, served)
end

-- Gather the lines of a queue by the party that takes its turn, the one first that was served longest ago.
local function parties_of(queue, known, names, first)
  local by_name, list, lines = {}, {}, {}
  for place, name in ipairs(names) do
    local task = plain_task(known[place])
    local of, group = party_of(known[place], task)
    local line = {name = name, place = place, taken = 0, places = {}, at = -1, member = '', score = 0, one = 0, two = 0,
      three = 0, number = first, chosen = false, ready = false, task = task, group = group, limit = 0, counter = false,
      bucket = false}
    if advance(line, first) then
      local party = by_name[of]
      if not party then
        party = {name = of, lines = {}, level = 0, turn = 0}
        by_name[of] = party
        list[#list + 1] = party
      end
      party.lines[#party.lines + 1] = line
      lines[#lines + 1] = line
    end
  end
  for _, party in ipairs(list) do
    for at = math.floor(#party.lines / 2), 1, -1 do sink(party.lines, at) end
    party.level = level_of(party)
  end
  local turn = #list > 1 and read_turns(queue, list) or 0
  for at = math.floor(#list / 2), 1, -1 do sink_party(list, at) end
  return list, lines, turn
end

-- Take up to `room` jobs of a queue with limits out of its lines, by turns; returns how many, and the places of the
-- lines that have changed.
local function choose(now, queue, known, names, room, ids)
  local open, lines, turn = parties_of(queue, known, names, math.floor(room / #names) + 1)
  local number, got, served = #open, 0, {}
  while got < room and open[1] do
    local party = open[1]
    if not settle(now, queue, party.lines) then
      open[1] = open[#open]
      open[#open] = nil
    elseif level_of(party) ~= party.level then
      party.level = level_of(party)
    else
      local line = party.lines[1]
      local id = string.sub(line.member, 3)
      got = got + 1
      ids[#ids + 1] = id
      line.chosen = true
      if line.counter then
        line.counter.number = line.counter.number + 1
        line.counter.new[#line.counter.new + 1] = id
      end
      if line.bucket then spend(now, line.bucket, 1) end
      turn = turn + 1
      party.turn = turn
      if number > 1 then served[#served + 1], served[#served + 2] = party.name, whole(turn) end
    end
    if open[1] then sink_party(open, 1) end
  end
  local changed = {}
  for _, line in ipairs(lines) do
    local taken = line.taken + (line.chosen and 1 or 0)
    if taken > 0 then
      redis.call('ZREMRANGEBYRANK', line.name, 0, taken - 1)
      changed[#changed + 1] = line.place
    end
  end
  for _, counter in pairs(counters) do
    in_pieces('SADD', counter.name, counter.new)
    counter.new = {}
  end
  if served[1] then write_turns(queue, served, turn, number) end
  return got, changed
end
