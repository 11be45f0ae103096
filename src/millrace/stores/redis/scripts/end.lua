-- End attempts in any way; each only where its claim still is the worker's. A cancel that was asked for in between wins
-- over what would run again.
-- ARGV: now; worker; msgpack of [whether an earlier call may have done it, for each: [claim, state, delay or nil, tries
--   given back, how long it is kept or nil for ever, the same where a cancel wins, reason, whether it has an error (1),
--   a row in the history, a result]]; ids; what was said to be there: the error, the rest of the row, the result
-- Answer: the time; the places of those that were refused; the places and states of those that ended otherwise than
--   asked, by turns; queues that have got jobs
-- Costs O(n log N) for n attempts, at most 250.
--! keys: meta body result error progress line: tasks: turns serial queues later lease ended all odd: uniq counts tag:
--! keys: attempts: log: wake ends
--! include common
--! include batch

local MOST_ATTEMPTS = 50
local GIVES_WAY = {[SCHEDULED] = true, [PENDING] = true, [FAILED] = true}

local now, worker = clock(ARGV[1]), ARGV[2]
local head = cmsgpack.unpack(ARGV[3])
local again, outcomes = head[1], head[2]
local ids = cut_ids(ARGV[4])
local old, batch, refused, otherwise = redis.call('HMGET', META, unpack(ids)), new_batch(), {}, {}
local blob = 4

local function next_blob(there)
  if there ~= 1 then return nil end
  blob = blob + 1
  return ARGV[blob]
end

-- The row of the attempt, of which `told` is the end; see `attempt_row`. Those of one claim begin alike.
local last_attempt, last_claim, last_started, beginning
local function row_of(r, told)
  if r.attempt ~= last_attempt or r.claim ~= last_claim or r.started ~= last_started then
    last_attempt, last_claim, last_started = r.attempt, r.claim, r.started
    beginning = '\152' .. cmsgpack.pack(r.attempt, r.claim) .. bin(worker) .. cmsgpack.pack(r.started, now)
  end
  return beginning .. told
end

local function told_otherwise(place, state)
  otherwise[#otherwise + 1] = place
  otherwise[#otherwise + 1] = state
end

local function tags_of(id)
  local body = redis.call('HGET', BODY, id)
  return body and (read_body(body))
end

local function finish(r, id, outcome, error, told, result)
  local _, asked, delay, back, kept, kept_cancelled, reason = unpack(outcome, 1, 7)
  local state = asked
  take_out(batch, r, id)
  if r.state == CANCELLING and GIVES_WAY[asked] then
    state, kept, reason = CANCELLED, kept_cancelled, CANCELLED_ON_PURPOSE
  end
  local row = told and row_of(r, told)
  r.state, r.reason, r.rev, r.lease, r.attempt = state, reason, r.rev + 1, 0, r.attempt - back
  if delay then r.due = now + delay end
  if state >= COMPLETED then
    r.finished, r.expires = now, kept and now + kept or -1
    if kept == 0 then
      forget(batch, r, id, tags_of(id))
      if result and state == COMPLETED then batch.finals[id] = batch.finals[id] .. result end -- for who waits for it
      return state
    end
  end
  put_in(batch, r, id)
  if row then push(batch, ATTEMPTS .. id, MOST_ATTEMPTS, {row}) end
  if error then put(batch.sets, ERROR, id, error) end
  if result then put(batch.sets, RESULT, id, result) end
  if state == COMPLETED then put(batch.fields, ERROR, id) end
  return state
end

-- Whether an earlier call of ours has done it: the state that it came to, if so.
local function done_before(r, outcome, ours)
  local asked = outcome[2]
  if not again then return nil end
  if not r then return asked >= COMPLETED and outcome[5] == 0 and asked or nil end
  if ours and (r.state == asked or (r.state == CANCELLED and GIVES_WAY[asked])) then return r.state end
end

for place, id in ipairs(ids) do
  local outcome = outcomes[place]
  local error, told, result = next_blob(outcome[8]), next_blob(outcome[9]), next_blob(outcome[10])
  local r = old[place] and read_record(old[place])
  local ours = r and r.claim == outcome[1] and r.worker == worker
  local state
  if ours and (r.state == RUNNING or r.state == CANCELLING) then
    state = finish(r, id, outcome, error, told, result)
  else
    state = done_before(r, outcome, ours)
  end
  if not state then
    refused[#refused + 1] = place
  elseif state ~= outcome[2] then
    told_otherwise(place, state)
  end
end
if batch.changed then write_batch(batch) end
local queues = {}
for queue in pairs(batch.told) do queues[#queues + 1] = queue end
return {whole(now), refused, otherwise, queues}
