-- Changes of many jobs: gathered first, then written with few commands. For scripts that change jobs by their ids.
-- Needs `common`, and these keys:
--   meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--   attempts: log: wake ends
-- Brought along: who is waited for, who of them has ended, and for whom a job waits
--! keys: followed settle parents:
-- Nothing is written before `write_batch` or `write_new`, and nothing in them can fail but for want of memory: whoever
-- gathers has read and checked all that it wants to know.

-- States that are few and looked for: each has a set of its ids.
local HAS_ODD = {[CANCELLING] = true, [FAILED] = true, [DEAD] = true, [CANCELLED] = true}

-- The reason of a job that was cancelled, by its number in `record.REASONS`.
local CANCELLED_ON_PURPOSE = 7

local function new_batch()
  return {
    gone = {}, fields = {}, -- what goes: members of sets by key, fields of hashes by key,
    keys = {}, forgotten = {}, -- whole keys, and all that jobs have
    sets = {}, ranks = {}, pushed = {}, -- what comes: fields, members with scores, and by threes as `push` has it
    entered = {}, left = {}, counts = {}, -- lines, as `gather` has them; a job of each that was left; counts
    finals = {}, -- how jobs have ended, by id
    told = {}, changed = false, -- queues to tell of, and whether there is anything to tell
  }
end

-- Add a value, or two, to one of the lists in a map.
local function put(map, key, one, two)
  local list = map[key]
  if not list then
    list = {}
    map[key] = list
  end
  local last = #list
  list[last + 1] = one
  if two ~= nil then list[last + 2] = two end
end

-- Add rows to a list, of which the newest `most` are kept.
local function push(batch, key, most, rows)
  local pushed = batch.pushed
  local last = #pushed
  pushed[last + 1], pushed[last + 2], pushed[last + 3] = key, most, rows
end

-- Take a job out of every place in which its state has put it.
local function take_out(batch, r, id)
  local state = r.state
  batch.changed = true
  count(batch.counts, state, r.queue, -1)
  if state == PENDING then
    local _, rest = rank(r.priority, r.due)
    put(batch.gone, line_of(r.queue, r.task), rest .. id)
    batch.left[r.queue .. '\0' .. r.task] = r
  elseif state == SCHEDULED or state == FAILED then
    put(batch.gone, LATER, id)
  elseif state == RUNNING or state == CANCELLING then
    put(batch.gone, LEASE, id)
  else
    put(batch.gone, ENDED, id)
  end
  if HAS_ODD[state] then put(batch.gone, ODD .. state, id) end
  if r.key ~= '' and state < COMPLETED then put(batch.fields, UNIQ, r.key) end
end

-- Put a job into every place to which its state belongs, and write its record.
local function put_in(batch, r, id)
  local state = r.state
  batch.changed = true
  count(batch.counts, state, r.queue, 1)
  if state == PENDING then
    gather(batch.entered, r, id)
  elseif state == SCHEDULED or state == FAILED then
    put(batch.ranks, LATER, whole(r.due), id)
    batch.told[r.queue] = true
  elseif state == RUNNING or state == CANCELLING then
    put(batch.ranks, LEASE, whole(r.lease), id)
  else
    put(batch.ranks, ENDED, r.expires < 0 and '+inf' or whole(r.expires), id)
    batch.finals[id] = state .. ':'
  end
  if HAS_ODD[state] then put(batch.ranks, ODD .. state, 0, id) end
  if r.key ~= '' and state < COMPLETED then put(batch.sets, UNIQ, r.key, id) end
  local record = write_record(r)
  put(batch.sets, META, id, record)
  return record
end

-- Take away all that belongs to a job which has been taken out. `r` is nil where it had no record, `tags` as in its body.
local function forget(batch, r, id, tags)
  if r and r.scoped and redis.call('HGET', UNIQ, r.scoped) == id .. '*' then put(batch.fields, UNIQ, r.scoped) end
  put(batch, 'forgotten', id)
  if r then batch.finals[id] = (r.state >= COMPLETED and r.state or CANCELLED) .. ':gone:' end
  if r and r.due >= 288230376151711744 then put(batch, 'keys', PARENTS .. id) end -- it has waited for others
  put(batch, 'keys', ATTEMPTS .. id, LOG .. id)
  for _, tag in ipairs(tags or {}) do put(batch.gone, TAG .. tag, id) end
end

-- Write a batch of what is new: a server that has no room refuses the first HSET, and so all of it.
local function write_new(batch)
  for key, fields in pairs(batch.sets) do in_pieces('HSET', key, fields) end
  for key, places in pairs(batch.ranks) do in_pieces('ZADD', key, places) end
  local pushed = batch.pushed
  for place = 1, #pushed, 3 do
    local key, most, rows = pushed[place], pushed[place + 1], pushed[place + 2]
    local length = redis.call('RPUSH', key, unpack(rows)) -- of which there are few
    if length > most then redis.call('LTRIM', key, -most, -1) end
  end
  for _, queue in ipairs(enter_lines(batch.entered)) do batch.told[queue] = true end
  for _, r in pairs(batch.left) do leave_line(r.queue, r.task) end
  write_counts(batch.counts)
  if next(batch.finals) and redis.call('EXISTS', FOLLOWED) == 1 then
    for id, how in pairs(batch.finals) do
      if redis.call('SISMEMBER', FOLLOWED, id) == 1 then redis.call('HSET', SETTLE, id, how) end
    end
  end
  for queue in pairs(batch.told) do redis.call('PUBLISH', WAKE, queue) end
  if batch.changed then redis.call('PUBLISH', ENDS, '') end
end

-- Write a batch of changes: one command that frees memory, be it of nothing, and a full server lets the rest through.
local function write_batch(batch)
  redis.call('ZREM', LEASE, '')
  for key, members in pairs(batch.gone) do in_pieces('ZREM', key, members) end
  for key, fields in pairs(batch.fields) do in_pieces('HDEL', key, fields) end
  in_pieces('ZREM', ALL, batch.forgotten)
  for _, key in ipairs({META, BODY, RESULT, ERROR, PROGRESS}) do in_pieces('HDEL', key, batch.forgotten) end
  for first = 1, #batch.keys, 2000 do
    redis.call('UNLINK', unpack(batch.keys, first, math.min(first + 1999, #batch.keys)))
  end
  write_new(batch)
end

-- Bytes in msgpack. What Lua packs itself is marked as text, which need not be UTF-8.
local function bin(bytes)
  local length = #bytes
  if length < 256 then return '\196' .. string.char(length) .. bytes end
  if length < 65536 then return '\197' .. struct.pack('>H', length) .. bytes end
  return '\198' .. struct.pack('>I4', length) .. bytes
end

-- The row of an attempt that has ended: [attempt, claim, worker, started, finished, kind, error, traceback].
local function attempt_row(r, finished, kind, error, traceback)
  return '\152' .. cmsgpack.pack(r.attempt, r.claim) .. (r.worker == NOBODY and '\194' or bin(r.worker)) ..
    (r.started == 0 and '\194' or cmsgpack.pack(r.started)) ..
    cmsgpack.pack(finished, kind, error or false, traceback or false)
end

-- When a job goes that is kept for `retention` from `now` on, negative is for ever: not while it holds its key.
local function expiry(r, retention, now)
  if retention < 0 then return -1 end
  return now + math.max(retention, tonumber(r.scope) or 0)
end

-- When a job goes that ends at `now` otherwise than by an outcome: its own options say how long it is kept, or else
-- `retention`.
local function own_expiry(r, options, retention, now)
  if options then
    local own = cjson.decode(options).retention
    if own == cjson.null then return -1 end
    if own then retention = math.floor(own * 1000000 + 0.5) end
  end
  return expiry(r, retention, now)
end

-- The jobs that a verb is asked to change: their ids, and what they are told by.
local function read_chosen(ids)
  local chosen = {ids = cut_ids(ids), changed = {}}
  chosen.meta, chosen.body, chosen.result, chosen.error, chosen.progress = read_parts(chosen.ids)
  return chosen
end

-- Change each job whose state is among `states`, the digits of their numbers, by `change(r, id, place)`, which may
-- refuse by returning false. A job that is named twice is changed once.
local function change_chosen(chosen, states, change)
  local after = {}
  for place, id in ipairs(chosen.ids) do
    local record, changed = chosen.meta[place], false
    if record and not after[id] and string.find(states, string.byte(record), 1, true) then
      local r = read_record(record)
      changed = change(r, id, place)
      if changed then after[id] = write_record(r) end
    end
    chosen.meta[place] = after[id] or record
    chosen.changed[place] = changed and 1 or 0
  end
end

-- Whether each was changed, and its record, body, result, error and progress, as six lists.
local function tell_of(chosen)
  return {chosen.changed, chosen.meta, chosen.body, chosen.result, chosen.error, chosen.progress}
end

-- Delete jobs that have ended, all or as many as are no more than 4 MB and a slice; return how many.
local function remove_ended(ids)
  local batch, size, gone = new_batch(), 0, 0
  for first = 1, #ids, 50 do
    local last = math.min(first + 49, #ids)
    local meta = redis.call('HMGET', META, unpack(ids, first, last))
    local bodies = redis.call('HMGET', BODY, unpack(ids, first, last))
    for place = 1, #meta do
      local id = ids[first + place - 1]
      local r = meta[place] and read_record(meta[place]) or nil
      if r then take_out(batch, r, id) end
      forget(batch, r, id, bodies[place] and (read_body(bodies[place])))
      put(batch.gone, ENDED, id)
      size = size + #(bodies[place] or '')
      gone = gone + 1
    end
    if size > 4194304 then break end
  end
  if gone > 0 then write_batch(batch) end
  return gone
end
