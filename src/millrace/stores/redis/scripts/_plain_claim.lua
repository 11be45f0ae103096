-- What a claim is told, how claimed jobs are handed over, and the plain case, which an idle worker meets: nothing is
-- due, and one queue without settings has a few jobs, of one task. It is answered before what the others need is defined.

local now, worker = clock(ARGV[1]), ARGV[2]
local head = cmsgpack.unpack(ARGV[3])
local wanted, asked, lease, leases = head[1], head[2], head[4], head[5]
local tasks
if head[3] then
  tasks = {}
  for _, task in ipairs(head[3]) do tasks[task] = true end
end

local SLICE = 20 -- bodies read at once

-- How long the lease lasts: as the job says, or its task, or the request.
local function span_of(record, body)
  if string.byte(body) ~= 0 then
    local _, options = read_body(body)
    if options and string.find(options, '"lease"', 1, true) then
      local fine, told = pcall(cjson.decode, options) -- whatever they are, the job has left its line by now
      local own = fine and type(told) == 'table' and told.lease
      if type(own) == 'number' then return math.floor(own * 1000000 + 0.5) end
    end
  end
  if not leases then return lease end
  local first = string.find(record, '\0', NAMES, true)
  return leases[plain_task(string.sub(record, first + 1, string.find(record, '\0', first + 1, true) - 1))] or lease
end

-- (META LEASE RESULT ERROR PROGRESS) Give jobs that have left their lines to the worker; returns the answer.
local function hand_over(ids, old, bodies, outcome)
  local tails, records, ends, again, last, made = {}, {}, {}, {}, nil, nil
  for place, id in ipairs(ids) do
    local record, body = old[place], bodies[place]
    local span = (leases or string.byte(body) ~= 0) and span_of(record, body) or lease
    local tail = tails[span]
    if not tail then
      tail = {struct.pack('>i8i8i8i8', now, now + span, 0, 0) .. worker, whole(now + span)}
      tails[span] = tail
    end
    if record ~= last or tail ~= made[2] then -- those inserted in one call are alike
      local _, _, claim, rev, attempt = struct.unpack('>BBI4I4I4', record)
      last, made = record, {struct.pack('>BBI4I4I4', RUNNING, 0, claim + 1, rev + 1, attempt + 1) .. tail[1] ..
        string.sub(record, REST), tail, claim}
    end
    if made[3] > 0 then again[#again + 1] = place end
    records[2 * place - 1], records[2 * place] = id, made[1]
    ends[2 * place - 1], ends[2 * place] = tail[2], id
  end
  redis.call('HSET', META, unpack(records))
  redis.call('ZADD', LEASE, unpack(ends))

  local left = {}
  if again[1] then
    local claimed_again = {}
    for at, place in ipairs(again) do claimed_again[at] = ids[place] end
    local results, errors = read_fields(RESULT, claimed_again), read_fields(ERROR, claimed_again)
    local progress = read_fields(PROGRESS, claimed_again)
    for at, place in ipairs(again) do
      if results[at] or errors[at] or progress[at] then
        local last_one = #left
        left[last_one + 1], left[last_one + 2], left[last_one + 3], left[last_one + 4] =
          place, results[at], errors[at], progress[at]
      end
    end
  end
  return {whole(now), outcome, records, bodies, left}
end

-- The line of the one queue and task that can have jobs, where it has few; nil where it takes more to find out.
local function only_line()
  local queues = asked or redis.call('ZRANGE', TURNS, 0, 1)
  local queue = queues[1]
  if not queue or queues[2] or redis.call('HEXISTS', QUEUES, queue) == 1 then return end
  if redis.call('ZRANGE', LATER, '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, 1)[1] then return end
  local known = redis.call('SMEMBERS', TASKS .. queue)
  local task = known[1]
  if not task or known[2] or plain_task(task) ~= task or (tasks and not tasks[task]) then return end
  local line = LINE .. queue .. '\0' .. task
  local length = redis.call('ZCARD', line)
  if length > SLICE then return end
  return line, queue, length
end

local line, queue, length = only_line()
if line then
  local places, ids = redis.call('ZPOPMIN', line, wanted), {}
  for place = 1, #places, 2 do ids[(place + 1) / 2] = string.sub(places[place], 3) end
  local got = #ids
  if got == length then -- with its last line a queue leaves the turns
    redis.call('UNLINK', TASKS .. queue)
    redis.call('ZREM', TURNS, queue)
  end
  local old, bodies = redis.call('HMGET', META, unpack(ids)), redis.call('HMGET', BODY, unpack(ids))
  for place = got, 1, -1 do
    if not old[place] then -- a line told of a job that is not there: that must not lose the others
      table.remove(ids, place)
      table.remove(old, place)
      table.remove(bodies, place)
    end
  end
  if redis.call('HINCRBY', COUNTS, PENDING .. ':' .. queue, -got) == 0 then
    redis.call('HDEL', COUNTS, PENDING .. ':' .. queue)
  end
  redis.call('HINCRBY', COUNTS, RUNNING .. ':' .. queue, got)
  if not ids[1] then return {whole(now), 0} end
  return hand_over(ids, old, bodies, 0)
end
