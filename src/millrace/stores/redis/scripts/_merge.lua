-- Merging lines: for scripts that take from several of one queue.

-- Lines of one queue, merged: the line whose first place is lowest is on top of a heap. Members are compared as three
-- numbers: `<` of texts goes by the server's locale.
local function before(a, b)
  if a.score ~= b.score then return a.score < b.score end
  if a.one ~= b.one then return a.one < b.one end
  if a.two ~= b.two then return a.two < b.two end
  return a.three < b.three
end

local function sink(heap, place)
  local line, size = heap[place], #heap
  while true do
    local child = 2 * place
    if child > size then break end
    if child < size and before(heap[child + 1], heap[child]) then child = child + 1 end
    if not before(heap[child], line) then break end
    heap[place] = heap[child]
    place = child
  end
  heap[place] = line
end

-- Look at the next place of a line, read if need be with so many others; false where there is none.
local function advance(line, number)
  local at = line.at + 2
  local member = line.places[at]
  if not member then
    line.places, at = redis.call('ZRANGE', line.name, line.taken, line.taken + number - 1, 'WITHSCORES'), 1
    member = line.places[1]
    if not member then return false end
  end
  line.at, line.member, line.score = at, member, tonumber(line.places[at + 1])
  line.one, line.two, line.three = struct.unpack('>I6I6I6', member)
  return true
end
