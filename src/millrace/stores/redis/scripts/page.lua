-- Find jobs, newest first: one stretch of the search for a page.
-- ARGV: now, the id below which to look (empty: from the newest), how many to find, the filter in msgpack, false where
--   it does not ask: states (digits), queue, task, tag, unique key, class of the error
-- Answer: the id down to which all was looked at, or an empty text where nothing is left below; how many match in all,
--   -1 where the counts do not tell; then the ids found
-- Looks at no more than 1,000 jobs, in the smallest of the sets that hold all that the filter can match: all jobs,
-- those of the tag, those of the states, those with an error. What is in no order of ids is read whole where it is few.
--! keys: meta error line: tasks: later lease all odd: uniq counts tag:
--! include common

local MOST, SLICE = 1000, 200
local top, limit = ARGV[2], tonumber(ARGV[3])
local states, queue, task, tag, key, class = unpack(cmsgpack.unpack(ARGV[4]))

-- A source holds all that can match: `sets` in the order of ids, `lists` of few ids in no order, and its `size`.

local function pending_queues()
  local names, number, fields = {}, 0, redis.call('HGETALL', COUNTS)
  for place = 1, #fields, 2 do
    local name = string.sub(fields[place], 3)
    if string.sub(fields[place], 1, 2) == '1:' and (not queue or name == queue) then
      names[#names + 1] = name
      number = number + fields[place + 1]
    end
  end
  return names, number
end

local function pending_ids(names)
  local ids = {}
  for _, name in ipairs(names) do
    for _, each in ipairs(redis.call('SMEMBERS', TASKS .. name)) do
      for _, member in ipairs((not task or plain_task(each) == task) and redis.call('ZRANGE', line_of(name, each), 0, -1) or {}) do
        ids[#ids + 1] = string.sub(member, 3)
      end
    end
  end
  return ids
end

-- By the states asked for; nil where one of them has neither a set of its own nor few jobs.
local function source_of_states()
  local asked = {}
  for digit in string.gmatch(states, '%d') do asked[tonumber(digit)] = true end
  if asked[COMPLETED] then return end
  local source = {sets = {}, lists = {}, size = 0}
  for state, set in pairs({[RUNNING] = LEASE, [SCHEDULED] = LATER}) do
    if asked[state] then
      source.size = source.size + redis.call('ZCARD', set)
      if source.size > MOST then return end
      source.lists[#source.lists + 1] = redis.call('ZRANGE', set, 0, -1)
    end
  end
  if asked[PENDING] then
    local names, number = pending_queues()
    source.size = source.size + number
    if source.size > MOST then return end
    source.lists[#source.lists + 1] = pending_ids(names)
  end
  for _, state in ipairs({CANCELLING, FAILED, DEAD, CANCELLED}) do
    local there = state == CANCELLING and asked[RUNNING] or state == FAILED and asked[SCHEDULED]
    if asked[state] and not there then
      source.sets[#source.sets + 1] = ODD .. state
      source.size = source.size + redis.call('ZCARD', ODD .. state)
    end
  end
  return source
end

local function smallest_source()
  if key and states and not string.find(states, '[567]') then -- only a job that has not ended
    local found = redis.call('HMGET', UNIQ, key, '\0')
    if not found[2] then -- no job has ever lost its key while it lived
      return {sets = {}, lists = {{found[1] and string.sub(found[1], 1, 16) or nil}}, size = 1}
    end
  end
  local set = tag and TAG .. tag or ALL
  local best = {sets = {set}, lists = {}, size = redis.call('ZCARD', set), tagged = tag}
  local other = states and source_of_states()
  if other and other.size < best.size then best = other end
  local errors = class and redis.call('HLEN', ERROR) or MOST + 1
  if errors <= MOST and errors < best.size then
    best = {sets = {}, lists = {redis.call('HKEYS', ERROR)}, size = errors}
  end
  return best
end

-- Ids are compared as numbers: `<` of texts goes by the server's locale.
local numbers = {}

local function numbers_of(id)
  local known = numbers[id]
  if not known then
    known = {struct.unpack('>I6I6I4', id)}
    numbers[id] = known
  end
  return known
end

local function is_above(one, other)
  local a, b = numbers_of(one), numbers_of(other)
  if a[1] ~= b[1] then return a[1] > b[1] end
  if a[2] ~= b[2] then return a[2] > b[2] end
  return a[3] > b[3]
end

-- The newest ids of a source, and the id down to which none is left out; nil where none is to the end.
local function newest_ids(source, most)
  local ids, bound = {}, nil
  local share = math.max(1, math.floor(most / math.max(1, #source.sets)))
  for _, set in ipairs(source.sets) do
    local some = redis.call('ZRANGE', set, top == '' and '+' or '(' .. top, '-', 'BYLEX', 'REV', 'LIMIT', 0, share)
    for _, id in ipairs(some) do ids[#ids + 1] = id end
    if #some == share and (not bound or is_above(some[share], bound)) then bound = some[share] end
  end
  for _, list in ipairs(source.lists) do
    for _, id in ipairs(list) do
      if top == '' or is_above(top, id) then ids[#ids + 1] = id end
    end
  end
  if #source.lists > 0 or #source.sets > 1 then
    table.sort(ids, is_above)
    while bound and is_above(bound, ids[#ids]) do ids[#ids] = nil end
  end
  return ids, bound
end

-- Behind a key may stand for how long it is held.
local function is_key(text)
  return text == key or string.sub(text, 1, #key + 1) == key .. '\0'
end

local function record_matches(record)
  if not record then return false end
  if states and not string.find(states, string.byte(record), 1, true) then return false end
  if not (queue or task or key) then return true end
  local first = string.find(record, '\0', NAMES, true)
  local second = string.find(record, '\0', first + 1, true)
  return (not queue or string.sub(record, NAMES, first - 1) == queue)
    and (not task or plain_task(string.sub(record, first + 1, second - 1)) == task)
    and (not key or is_key(string.sub(record, second + 1, -2)))
end

-- Those of a slice that match all that the filter asks for.
local function matching(ids, source)
  if states or queue or task or key then
    local kept, records = {}, redis.call('HMGET', META, unpack(ids))
    for place, id in ipairs(ids) do
      if record_matches(records[place]) then kept[#kept + 1] = id end
    end
    ids = kept
  end
  if tag and not source.tagged and #ids > 0 then
    local kept, scores = {}, redis.call('ZMSCORE', TAG .. tag, unpack(ids))
    for place, id in ipairs(ids) do
      if scores[place] then kept[#kept + 1] = id end
    end
    ids = kept
  end
  if class and #ids > 0 then
    local kept, errors = {}, redis.call('HMGET', ERROR, unpack(ids))
    for place, id in ipairs(ids) do
      if errors[place] and cmsgpack.unpack(errors[place])[1] == class then kept[#kept + 1] = id end
    end
    ids = kept
  end
  return ids
end

-- How many jobs match, above and below: the counts tell where states and a queue are all that is asked for.
local function number_of_all()
  if not (states or queue) or task or tag or key or class then return -1 end
  local number, fields = 0, nil
  if queue then
    fields = {}
    for state = SCHEDULED, CANCELLED do
      fields[2 * state + 1] = state .. ':' .. queue
      fields[2 * state + 2] = redis.call('HGET', COUNTS, state .. ':' .. queue) or 0
    end
  else
    fields = redis.call('HGETALL', COUNTS)
  end
  for place = 1, #fields, 2 do
    if not states or string.find(states, string.sub(fields[place], 1, 1), 1, true) then
      number = number + fields[place + 1]
    end
  end
  return number
end

local number = number_of_all()
if number == 0 then return {'', 0} end

local filtered = states or queue or task or key or class
local source = smallest_source()
local ids, bound = newest_ids(source, filtered and MOST or math.min(limit, MOST))
local answer = {bound or '', number}
for first = 1, #ids, SLICE do
  local slice = {unpack(ids, first, math.min(first + SLICE - 1, #ids))}
  for _, id in ipairs(matching(slice, source)) do
    answer[#answer + 1] = id
    if #answer - 2 >= limit then
      answer[1] = id
      return answer
    end
  end
end
return answer
