-- Read whole jobs, oldest first.
-- ARGV: now, the id above which to look (empty: from the oldest), how many at most (500)
-- Answer: 1 where there are more above the last; ids; record, body, result, error and progress as lists in their order;
--   the rows of attempts and those of the log, a list of each job
-- It stops early, after a job at least, where there is much to tell: after 4 MB or 2,000 rows. Costs O(n) for n jobs.
--! keys: meta body result error progress all attempts: log:
--! include common

local from, limit = ARGV[2] == '' and '-' or '(' .. ARGV[2], tonumber(ARGV[3])
local ids = redis.call('ZRANGE', ALL, from, '+', 'BYLEX', 'LIMIT', 0, limit + 1)
local answer = {0, {}, {}, {}, {}, {}, {}, {}, {}}
local size, rows = 0, 0

local function add(list, value)
  list[#list + 1] = value
  if value then size = size + #value end
end

local function add_rows(list, key)
  local some = redis.call('LRANGE', key, 0, -1)
  for _, row in ipairs(some) do size = size + #row end
  rows = rows + #some
  list[#list + 1] = some
end

for first = 1, math.min(#ids, limit), 50 do
  local some = {unpack(ids, first, math.min(first + 49, #ids, limit))}
  local parts = {read_parts(some)}
  for place, id in ipairs(some) do
    if size > 4194304 or rows > 2000 then
      answer[1] = 1
      return answer
    end
    add(answer[2], id)
    for part = 1, 5 do add(answer[part + 2], parts[part][place]) end
    add_rows(answer[8], ATTEMPTS .. id)
    add_rows(answer[9], LOG .. id)
  end
end
answer[1] = #ids > limit and 1 or 0
return answer
