-- Inserting jobs, for the scripts that do: `--! include insert`, behind `common` and `holders`.

-- (META BODY RESULT ERROR PROGRESS LINE TASKS TURNS SERIAL QUEUES LATER ALL ODD UNIQ COUNTS TAG WAKE) Insert the jobs that
-- the arguments from `base` on tell, those alone whose places are `chosen` where that is given; returns the answer of
-- `insert.lua`, where the arguments are described.
local function insert_jobs(now, base, chosen)
  local head = cmsgpack.unpack(ARGV[base])
  local number, kinds, which, keyed, dues, delays, tags = head[1], head[2], head[3], head[4], head[5], head[6], head[7]
  local conflicts = head[8]
  local ids = cut_ids(ARGV[base + 1])
  local bodies = base + 1 + kinds -- before the first

  local known = {}
  for place = 1, kinds do
    local kind = ARGV[base + 1 + place]
    local first = string.find(kind, '\0', 15, true)
    local second = string.find(kind, '\0', first + 1, true)
    local third = string.find(kind, '\0', second + 1, true) -- where the key is held for another time than the job's life
    known[place] = { -- all its fields at once: a table that grows is made anew
      fixed = string.sub(kind, 1, 14), names = string.sub(kind, 15), priority = struct.unpack('>h', kind, 13),
      queue = string.sub(kind, 15, first - 1), task = string.sub(kind, first + 1, second - 1),
      line = string.sub(kind, 15, second - 1), key = string.sub(kind, second + 1, (third or 0) - 1), star = third and '*' or '',
      record = false, score = false, rest = false, places = false,
    }
  end

  local function kind_of(place)
    return known[which and which[place] or 1]
  end

  -- The jobs that hold the keys of these. Of those that may have given theirs up, the records tell whether they have.
  local freed = false
  local function read_holders()
    local keys, holders = {}, {}
    for place = 1, number do
      local key = kind_of(place).key
      if key ~= '' then keys[#keys + 1] = key end
    end
    local stars, starred = {}, {}
    for place, entry in ipairs(keys[1] and read_fields(UNIQ, keys) or {}) do
      if entry and #entry == 16 then
        holders[keys[place]] = entry
      elseif entry then
        stars[#stars + 1], starred[#starred + 1] = string.sub(entry, 1, 16), keys[place]
      end
    end
    for place, record in ipairs(read_fields(META, stars)) do
      local r = record and read_record(record)
      if r and still_holds(r, now) then
        holders[starred[place]] = stars[place]
      elseif r and r.state < COMPLETED then
        freed = true -- it loses its key while it lives
      end
    end
    return holders
  end

  local function due_at(place)
    return dues and dues[place] or (now + (delays and delays[place] or 0))
  end

  -- Tell which jobs go in, and what stands in the way of the others, and what is to change.
  local function sift()
    local records, holders = read_fields(META, ids), keyed and read_holders() or {}
    local going, stopped, others, seen, changes, change_of = {}, {}, {}, {}, {}, {}

    -- What becomes of a holder: the arguments of the last job that it keeps out, and the due time of the last of those
    -- that move it.
    local function change(holder, place)
      local told = change_of[holder]
      if not told then
        told = {id = holder, times = 0}
        change_of[holder], changes[#changes + 1] = told, told
      end
      told.body, told.times = ARGV[bodies + place], told.times + 1
      if conflicts[place] == 2 then told.due = due_at(place) end
    end
    for place, id in ipairs(ids) do
      if not chosen or chosen[place] then
        local key = kind_of(place).key
        local there = (records[place] or seen[id]) and id
        local holder = there or (key ~= '' and holders[key])
        if holder then
          stopped[#stopped + 1] = place
          stopped[#stopped + 1] = there and 0 or 1
          others[#others + 1] = holder
          if conflicts and not there and conflicts[place] == 3 then return {}, {place, 1}, {holder}, {}, {}, place end
          if conflicts and not there and conflicts[place] > 0 then change(holder, place) end
        else
          seen[id], going[#going + 1] = true, place
          if key ~= '' then holders[key] = id end
        end
      end
    end
    local of_others, own = {}, {} -- changes of jobs that are there, and by id of those that go in
    for _, told in ipairs(changes) do
      if seen[told.id] then own[told.id] = told else of_others[#of_others + 1] = told end
    end
    return going, stopped, others, of_others, own
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
  local going, stopped, others, changes, own, refused
  if keyed or chosen then
    going, stopped, others, changes, own, refused = sift()
    if refused then return {whole(now), stopped, others, {read_parts(others)}, refused} end
    enlist(going)
  elseif enlist() < number then
    going, stopped, others, changes, own = sift()
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
    local due, body, changed = due_at(place), ARGV[bodies + place], own and own[id]
    local record, score, rest
    if changed then -- by a later one of this call
      due, body = due < 288230376151711744 and changed.due or due, with_arguments_of(changed.body, body, id)
      record, score, rest = make(kind, due)
      record = string.sub(record, 1, 6) .. struct.pack('>I4', changed.times) .. string.sub(record, 11)
    elseif due == now then
      if not kind.record then kind.record, kind.score, kind.rest = make(kind, due) end
      record, score, rest = kind.record, kind.score, kind.rest
    else
      record, score, rest = make(kind, due)
    end
    records[2 * at - 1], records[2 * at] = id, record
    stored[2 * at - 1], stored[2 * at] = id, body
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
    if kind.key ~= '' then uniq[#uniq + 1], uniq[#uniq + 2] = kind.key, id .. kind.star end
    for _, tag in ipairs(tags and tags[place] or {}) do
      local members = tagged[tag] or {}
      tagged[tag] = members
      members[#members + 1], members[#members + 2] = 0, id
    end
  end

  if freed and uniq[1] then uniq[#uniq + 1], uniq[#uniq + 2] = '\0', '*' end -- so that lists by key look further
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
  if changes and changes[1] then change_waiting(now, changes) end
  if not stopped or not stopped[1] then return {whole(now)} end
  return {whole(now), stopped, others, {read_parts(others)}}
end
