-- Look for what belongs to no job: a stretch of one key, in the server's order.
-- ARGV: now; which key: one of a name of its own, or line, tag, tasks, odd; what follows in its name; where to go on (0
--   at first); or attempts or log, and the ids that follow in the names of several such
-- Answer: where to go on, 0 at the end; the names of what belongs to no job
-- Looks at some 500 entries at most. Changes nothing.
--! keys: meta body result error progress line: tasks: turns later lease ended all odd: uniq tag: attempts: log:
--! include common

local kind, name, cursor = ARGV[2], ARGV[3], ARGV[4]
local AT_ONCE = (kind == 'body' or kind == 'result') and 100 or 500 -- entries; these may be large
local HASHES = {meta = META, body = BODY, result = RESULT, error = ERROR, progress = PROGRESS}
local SETS = {later = LATER, lease = LEASE, ended = ENDED}
local orphans = {}
local following = '0'

local function scan(command, key, every, visit)
  local answer = redis.call(command, key, cursor, 'COUNT', AT_ONCE)
  following = answer[1]
  for place = 1, #answer[2], every do visit(answer[2][place], answer[2][place + 1]) end
end

local function record_of(id)
  local record = redis.call('HGET', META, id)
  return record and read_record(record)
end

local function of_job(id)
  if redis.call('HEXISTS', META, id) == 0 then orphans[#orphans + 1] = id end
end

if kind == 'meta' then
  scan('HSCAN', META, 2, function(id)
    if not redis.call('ZSCORE', ALL, id) then orphans[#orphans + 1] = id end
  end)
elseif HASHES[kind] then
  scan('HSCAN', HASHES[kind], 2, of_job)
elseif SETS[kind] or kind == 'odd' then
  scan('ZSCAN', SETS[kind] or ODD .. name, 2, of_job)
elseif kind == 'tag' then
  scan('ZSCAN', TAG .. name, 2, function(id)
    local body, has = redis.call('HGET', BODY, id), false
    for _, tag in ipairs(body and (read_body(body)) or {}) do has = has or tag == name end
    if not has then orphans[#orphans + 1] = id end
  end)
elseif kind == 'line' then
  scan('ZSCAN', LINE .. name, 2, function(member)
    local id = string.sub(member, 3)
    local r = record_of(id)
    local mine = r and r.state == PENDING and r.queue .. '\0' .. r.task == name
    if not mine or select(2, rank(r.priority, r.due)) .. id ~= member then orphans[#orphans + 1] = id end
  end)
elseif kind == 'uniq' then
  scan('HSCAN', UNIQ, 2, function(key, entry)
    local r = record_of(string.sub(entry, 1, 16))
    local fine = key == '\0' or r and (r.scoped == key or r.key == key and r.state < COMPLETED)
    if not fine then orphans[#orphans + 1] = key end
  end)
elseif kind == 'tasks' then
  scan('SSCAN', TASKS .. name, 1, function(task)
    if redis.call('EXISTS', line_of(name, task)) == 0 then orphans[#orphans + 1] = task end
  end)
elseif kind == 'turns' then
  scan('ZSCAN', TURNS, 2, function(queue)
    if redis.call('EXISTS', TASKS .. queue) == 0 then orphans[#orphans + 1] = queue end
  end)
else
  for _, id in ipairs(cut_ids(name)) do
    if redis.call('EXISTS', (kind == 'log' and LOG or ATTEMPTS) .. id) == 1 then of_job(id) end
  end
end
return {following, orphans}
