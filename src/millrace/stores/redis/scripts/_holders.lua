-- Changing jobs that hold a unique key and wait, for the scripts that insert: `--! include holders`, behind `common`.

local function add(map, key, one, two)
  local list = map[key] or {}
  map[key] = list
  list[#list + 1] = one
  if two then list[#list + 1] = two end
end

-- A body with the arguments of another one.
local function with_arguments_of(other, body, id)
  local _, _, from = read_body(other)
  local _, _, to = read_body(body)
  return string.sub(body, 1, to - 1) .. string.sub(other, from, -2) .. string.sub(id, -1)
end

-- (META BODY LINE TASKS TURNS SERIAL QUEUES LATER ODD COUNTS WAKE) Give jobs that wait other arguments and, where one is
-- told, another due time: a list of {id, body = whose arguments, due = or nil, times = of how many changes}. Others stay.
-- The first write needs memory, so that a full server refuses all of it.
local function change_waiting(now, changes)
  local ids = {}
  for place, change in ipairs(changes) do ids[place] = change.id end
  local old, bodies = read_fields(META, ids), read_fields(BODY, ids)
  local records, texts, gone, later, lines, left, counts, told = {}, {}, {}, {}, {}, {}, {}, {}

  local function move(r, id, due)
    count(counts, r.state, r.queue, -1)
    if r.state == PENDING then
      local _, rest = rank(r.priority, r.due)
      add(gone, line_of(r.queue, r.task), rest .. id)
      left[r.queue .. '\0' .. r.task] = r
    else
      add(gone, LATER, id)
    end
    if r.state == FAILED then add(gone, ODD .. FAILED, id) end
    r.due, r.state = due, due <= now and PENDING or SCHEDULED
    count(counts, r.state, r.queue, 1)
    if r.state == PENDING then gather(lines, r, id) else add(later, LATER, whole(due), id) end
    told[r.queue] = true
  end

  for place, change in ipairs(changes) do
    local id, r = change.id, read_record(old[place])
    if r.state == SCHEDULED or r.state == PENDING or r.state == FAILED then
      r.rev = r.rev + change.times
      if change.due and r.due < 288230376151711744 then move(r, id, change.due) end -- others hold it: it stays so
      add(records, META, id, write_record(r))
      add(texts, BODY, id, with_arguments_of(change.body, bodies[place], id))
    end
  end
  for _, map in ipairs({records, texts}) do
    for key, fields in pairs(map) do in_pieces('HSET', key, fields) end
  end
  for key, members in pairs(gone) do in_pieces('ZREM', key, members) end
  for key, places in pairs(later) do in_pieces('ZADD', key, places) end
  enter_lines(lines)
  for _, r in pairs(left) do leave_line(r.queue, r.task) end
  write_counts(counts)
  for queue in pairs(told) do redis.call('PUBLISH', WAKE, queue) end
end
