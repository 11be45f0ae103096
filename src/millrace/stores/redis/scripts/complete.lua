-- End attempts that have succeeded, all kept alike; each only where its claim still is the worker's.
-- ARGV: now, worker, msgpack of [how many, claim of each or one for all, how long they are kept or nil for ever,
--   places of those with a result or true for all or nil, whether an earlier call may have done it]; ids; the results
-- Answer: the time, and the places of those that were refused
-- Costs O(n log N) for n jobs, at most 500. It begins with a ZREM, so that full memory lets it through.
--! keys: meta result error lease ended odd: uniq counts ends live: followed settle
--! include common

local now, worker = clock(ARGV[1]), ARGV[2]
local head = cmsgpack.unpack(ARGV[3])
local number, claims, kept, places, again = head[1], head[2], head[3], head[4], head[5]
local alike = type(claims) == 'number' and claims
local ids = cut_ids(ARGV[4])
local old = redis.call('HMGET', META, unpack(ids))
local expires = kept and now + kept or -1
local tail = struct.pack('>i8i8i8', 0, now, expires) .. worker
local gone = kept and whole(expires) or '+inf'

-- The set of the running jobs of a key, which `limits` has; nil where they are not limited, as nearly all.
local function counter_of(queue, task)
  local name = plain_task(task)
  if name == task then return nil end
  local limit, key = unpack(cjson.decode(string.sub(task, #name + 2)), 1, 2)
  return limit ~= cjson.null and LIVE .. table.concat({queue, name, key}, '\0') or nil
end

local ended, refused, records, ranks, tried, asked, keys, counts = {}, {}, {}, {}, {}, {}, {}, {}
local last, state, own, ours, made, queue, task, key, counter
local live = {}
local done = 0
for place = 1, number do
  local id, record = ids[place], old[place]
  local claim = alike or claims[place]
  if record and record ~= last then -- those of one insert and one claim are alike
    local _, rev
    last = record
    state, _, own, rev = struct.unpack('>BBI4I4', record)
    ours = string.sub(record, WORKER, REST - 1) == worker
    made = struct.pack('>BBI4I4', COMPLETED, 0, own, rev + 1) .. string.sub(record, 11, 22) .. tail ..
      string.sub(record, REST)
    queue, task, key = names_of(record)
    counter = counter_of(queue, task)
  end
  if record and ours and own == claim and (state == RUNNING or state == CANCELLING) then
    done = done + 1
    ended[done] = id
    records[2 * done - 1], records[2 * done] = id, made
    ranks[2 * done - 1], ranks[2 * done] = gone, id
    if claim > 1 then tried[#tried + 1] = id end
    if state == CANCELLING then asked[#asked + 1] = id end
    if key ~= '' then keys[#keys + 1] = key end
    if counter then
      live[counter] = live[counter] or {}
      live[counter][#live[counter] + 1] = id
    end
    count(counts, state, queue, -1)
    count(counts, COMPLETED, queue, 1)
  elseif not (again and record and ours and own == claim and state == COMPLETED) then
    refused[#refused + 1] = place
  end
end
if done == 0 then return {whole(now), refused} end

redis.call('ZREM', LEASE, unpack(ended))
redis.call('HSET', META, unpack(records))
redis.call('ZADD', ENDED, unpack(ranks))
if places then
  local refused_ones, results = {}, {}
  for _, place in ipairs(refused) do refused_ones[place] = true end
  for at = 5, #ARGV do
    local place = places == true and at - 4 or places[at - 4]
    if not refused_ones[place] then
      results[#results + 1] = ids[place]
      results[#results + 1] = ARGV[at]
    end
  end
  in_pieces('HSET', RESULT, results)
end
in_pieces('HDEL', ERROR, tried) -- only an earlier attempt has left one
in_pieces('ZREM', ODD .. CANCELLING, asked)
in_pieces('HDEL', UNIQ, keys)
for name, members in pairs(live) do in_pieces('SREM', name, members) end
write_counts(counts)
if redis.call('EXISTS', FOLLOWED) == 1 then -- others wait for some job: for one of these?
  for _, id in ipairs(ended) do
    if redis.call('SISMEMBER', FOLLOWED, id) == 1 then redis.call('HSET', SETTLE, id, COMPLETED .. ':') end
  end
end
redis.call('PUBLISH', ENDS, '')
return {whole(now), refused}
