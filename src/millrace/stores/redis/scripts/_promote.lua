-- Making due jobs pending; needs `common` and these keys:
--   meta line: tasks: turns serial queues later odd: counts

-- Make jobs pending that are due, as `later` has told: scheduled and failed ones. Returns how many, and the queues.
local function promote(ids)
  if not ids[1] then return 0, {} end
  local old, records, failed, lines, counts = read_fields(META, ids), {}, {}, {}, {}
  for place, id in ipairs(ids) do
    if old[place] then
      local r = read_record(old[place])
      count(counts, r.state, r.queue, -1)
      count(counts, PENDING, r.queue, 1)
      if r.state == FAILED then failed[#failed + 1] = id end
      records[#records + 1] = id
      records[#records + 1] = struct.pack('>BBI4I4', PENDING, r.reason, r.claim, r.rev + 1) ..
        string.sub(old[place], 11)
      gather(lines, r, id)
    end
  end
  in_pieces('ZREM', LATER, ids)
  in_pieces('ZREM', ODD .. FAILED, failed)
  in_pieces('HSET', META, records)
  local queues = enter_lines(lines)
  write_counts(counts)
  return #records / 2, queues
end

local function due_ones(now, limit)
  return redis.call('ZRANGE', LATER, '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, limit)
end
