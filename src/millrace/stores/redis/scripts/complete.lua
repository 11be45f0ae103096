-- End attempts that have succeeded, all kept alike; each only where its claim still is the worker's.
-- ARGV: now, worker, msgpack of [how many, claim of each or one for all, how long they are kept or nil for ever,
--   places of those with a result or true for all or nil, whether an earlier call may have done it]; ids; the results
-- Answer: the time, and the places of those that were refused
-- Costs O(n log N) for n jobs, at most 500. It begins with a ZREM, so that full memory lets it through.
--! keys: meta result error progress lease ended odd: uniq counts ends
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

local ended, refused, records, ranks, tried, asked, keys, counts = {}, {}, {}, {}, {}, {}, {}, {}
local last, state, own, ours, made, names, queue, key
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
    local its_names = string.sub(record, NAMES, -2)
    if its_names ~= names then
      names = its_names
      queue, key = queue_and_key(record)
    end
  end
  if record and ours and own == claim and (state == RUNNING or state == CANCELLING) then
    done = done + 1
    ended[done] = id
    records[2 * done - 1], records[2 * done] = id, made
    ranks[2 * done - 1], ranks[2 * done] = gone, id
    if claim > 1 then tried[#tried + 1] = id end
    if state == CANCELLING then asked[#asked + 1] = id end
    if key ~= '' then keys[#keys + 1] = key end
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
if redis.call('EXISTS', PROGRESS) == 1 then redis.call('HDEL', PROGRESS, unpack(ended)) end
in_pieces('ZREM', ODD .. CANCELLING, asked)
in_pieces('HDEL', UNIQ, keys)
write_counts(counts)
redis.call('PUBLISH', ENDS, '')
return {whole(now), refused}
