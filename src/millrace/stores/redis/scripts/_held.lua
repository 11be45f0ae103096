-- Jobs that wait for others: due at HELD until their links are written, and at twice that from then on. Neither comes.

local HELD = 288230376151711744

-- Whether parents hold a job.
local function is_held(r)
  return r.state == SCHEDULED and r.due >= HELD
end
