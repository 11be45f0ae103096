-- Read jobs by their ids.
-- ARGV: now, ids
-- Answer: as lists, record, body, result, error and progress, of as many ids as were read, in their order. It stops
--   where the jobs are so large that telling of all would hold up others: after 4 MB, but for what a hundred have.
-- Costs O(n) for n ids, of which the client sends at most 500.
--! keys: meta body result error progress
--! include common

local ids, size = cut_ids(ARGV[2]), 0
local answer = {{}, {}, {}, {}, {}}
for first = 1, #ids, 100 do
  for part, values in ipairs({read_parts({unpack(ids, first, math.min(first + 99, #ids))})}) do
    local all = answer[part]
    for _, value in ipairs(values) do
      all[#all + 1] = value
      if value then size = size + #value end
    end
  end
  if size > 4194304 then break end
end
return answer
