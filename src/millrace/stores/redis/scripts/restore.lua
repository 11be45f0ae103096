-- Insert whole jobs as they are, all of them or, where the server has no room, none.
-- ARGV: now, in msgpack of each job: its tags, the number of its attempts, that of its log lines; then of each job: id,
--   record, body, result, error, progress (empty where there is none), the rows of its attempts, its log lines
-- Answer: of each job 0 where it went in, 1 where its id was there, 2 where another job holds its key
-- Costs O(n log N) for n jobs and their rows, of which the client sends few at once.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends live:
--! durable
--! include common
--! include batch

local now, batch, answer, known, taken, live = clock(ARGV[1]), new_batch(), {}, {}, {}, {}
local at = 3

-- The next arguments, as a list.
local function take(number)
  at = at + number
  return {unpack(ARGV, at - number, at - 1)}
end

-- One that runs counts against the limit of its key, as if it had been claimed here.
local function enter_live(r, id)
  local task = plain_task(r.task)
  if task == r.task then return end
  local limit, key = unpack(cjson.decode(string.sub(r.task, #task + 2)), 1, 2)
  if limit ~= cjson.null then put(live, LIVE .. table.concat({r.queue, task, key}, '\0'), id) end
end

for place, told in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, record, body, result, error, progress = unpack(take(6))
  local tags, attempts, lines = told[1], take(told[2]), take(told[3])
  local r = read_record(record)
  local key, holding = r.scoped or r.key, r.key ~= '' and r.state < COMPLETED
  if r.scoped then holding = still_holds(r, now) end
  if known[id] or redis.call('HEXISTS', META, id) == 1 then
    answer[place] = 1
  elseif holding and (taken[key] or holder_of(redis.call('HGET', UNIQ, key), now)) then
    answer[place] = 2
  else
    answer[place] = 0
    known[id] = true
    if holding then taken[key] = true end
    if holding and r.scoped then put(batch.sets, UNIQ, key, id .. '*') end
    put_in(batch, r, id)
    if r.state == RUNNING or r.state == CANCELLING then enter_live(r, id) end
    put(batch.ranks, ALL, 0, id)
    put(batch.sets, BODY, id, body)
    for key, part in pairs({[RESULT] = result, [ERROR] = error, [PROGRESS] = progress}) do
      if part ~= '' then put(batch.sets, key, id, part) end
    end
    for _, tag in ipairs(tags) do put(batch.ranks, TAG .. tag, 0, id) end
    if #attempts > 0 then push(batch, ATTEMPTS .. id, 50, attempts) end
    if #lines > 0 then push(batch, LOG .. id, 1000, lines) end
  end
end
if batch.changed then write_new(batch) end
for key, members in pairs(live) do in_pieces('SADD', key, members) end
return answer
