-- Insert jobs in order, all or none: those whose id is there, or whose unique key a live job holds, are left out.
-- ARGV: now; msgpack of [how many, how many kinds, kind of each or nil (all of the first), whether any has a key,
--   due time of each or nil, delay of each or nil, tags of each or nil]; ids; the kinds; the bodies
--   A kind is what many jobs share of a record: tries and priority, then the names.
-- Answer: the time; where some were left out also the place of each and whether by its key (1), by turns, and the ids
--   that stood in the way with their records, bodies, results, errors and progress
-- Costs O(n log N) for n jobs, at most 1,000, or 500 with keys or tags. Full memory refuses it whole: the first write
-- is one that needs some.
--! keys: meta body result error progress line: tasks: turns serial queues later all uniq counts tag: wake
--! include common
--! durable

local now = clock(ARGV[1])
local head = cmsgpack.unpack(ARGV[2])
local number, kinds, which, keyed, dues, delays, tags = head[1], head[2], head[3], head[4], head[5], head[6], head[7]
local ids = cut_ids(ARGV[3])
local bodies = 3 + kinds -- before the first

local known = {}
for place = 1, kinds do
  local kind = ARGV[3 + place]
  local first = string.find(kind, '\0', 15, true)
  local second = string.find(kind, '\0', first + 1, true)
  known[place] = { -- all its fields at once: a table that grows is made anew
    fixed = string.sub(kind, 1, 14), names = string.sub(kind, 15), priority = struct.unpack('>h', kind, 13),
    queue = string.sub(kind, 15, first - 1), task = string.sub(kind, first + 1, second - 1),
    line = string.sub(kind, 15, second - 1), key = string.sub(kind, second + 1),
    record = false, score = false, rest = false, places = false,
  }
end

local function kind_of(place)
  return known[which and which[place] or 1]
end

-- The jobs that hold the keys of these.
local function read_holders()
  local keys, holders = {}, {}
  for place = 1, number do
    local key = kind_of(place).key
    if key ~= '' then keys[#keys + 1] = key end
  end
  for place, holder in ipairs(keys[1] and read_fields(UNIQ, keys) or {}) do
    if holder then holders[keys[place]] = holder end
  end
  return holders
end

-- Tell which jobs go in, and what stands in the way of the others.
local function sift()
  local records, holders = read_fields(META, ids), keyed and read_holders() or {}
  local going, stopped, others, seen = {}, {}, {}, {}
  for place, id in ipairs(ids) do
    local key = kind_of(place).key
    local there = (records[place] or seen[id]) and id
    local holder = there or (key ~= '' and holders[key])
    if holder then
      stopped[#stopped + 1] = place
      stopped[#stopped + 1] = there and 0 or 1
      others[#others + 1] = holder
    else
      seen[id], going[#going + 1] = true, place
      if key ~= '' then holders[key] = id end
    end
  end
  return going, stopped, others
end

local function enlist(places)
  local entries = {}
  for at = 1, places and #places or number do
    entries[2 * at - 1], entries[2 * at] = 0, ids[places and places[at] or at]
  end
  if not entries[1] then return 0 end
  return redis.call('ZADD', ALL, 'NX', unpack(entries))
end

-- Without keys nothing need be read: the list of all jobs tells whether one is new. What it has now and `meta` has not
-- goes in.
local going, stopped, others
if keyed then
  going, stopped, others = sift()
  enlist(going)
elseif enlist() < number then
  going, stopped, others = sift()
end

local FRESH = string.rep('\0', 53)
local records, stored, lines, later, uniq, counts, tagged, told = {}, {}, {}, {}, {}, {}, {}, {}

local function make(kind, due)
  local score, rest = rank(kind.priority, due)
  return string.char(due <= now and PENDING or SCHEDULED) .. FRESH .. kind.fixed .. struct.pack('>i8i8', due, now) ..
    kind.names .. string.char(due % 256), whole(score), rest
end

for at = 1, going and #going or number do
  local place = going and going[at] or at
  local id, kind = ids[place], kind_of(place)
  local due = dues and dues[place] or (now + (delays and delays[place] or 0))
  local record, score, rest
  if due == now then
    if not kind.record then kind.record, kind.score, kind.rest = make(kind, due) end
    record, score, rest = kind.record, kind.score, kind.rest
  else
    record, score, rest = make(kind, due)
  end
  records[2 * at - 1], records[2 * at] = id, record
  stored[2 * at - 1], stored[2 * at] = id, ARGV[bodies + place]
  if due <= now then
    local places = kind.places
    if not places then
      places = lines[kind.line] or {queue = kind.queue, task = kind.task}
      kind.places, lines[kind.line] = places, places
    end
    local last = #places
    places[last + 1], places[last + 2] = score, rest .. id
  else
    later[#later + 1], later[#later + 2] = whole(due), id
    count(counts, SCHEDULED, kind.queue, 1)
    told[kind.queue] = true -- who waits for the next that is due looks again
  end
  if kind.key ~= '' then uniq[#uniq + 1], uniq[#uniq + 2] = kind.key, id end
  for _, tag in ipairs(tags and tags[place] or {}) do
    local members = tagged[tag] or {}
    tagged[tag] = members
    members[#members + 1], members[#members + 2] = 0, id
  end
end

if records[1] then
  redis.call('HSET', META, unpack(records))
  redis.call('HSET', BODY, unpack(stored))
  for _, places in pairs(lines) do count(counts, PENDING, places.queue, #places / 2) end
  for _, queue in ipairs(enter_lines(lines)) do told[queue] = true end
  in_pieces('ZADD', LATER, later)
  in_pieces('HSET', UNIQ, uniq)
  for tag, members in pairs(tagged) do in_pieces('ZADD', TAG .. tag, members) end
  write_counts(counts)
  for queue in pairs(told) do redis.call('PUBLISH', WAKE, queue) end
end
if not stopped or not stopped[1] then return {whole(now)} end
return {whole(now), stopped, others, {read_parts(others)}}
