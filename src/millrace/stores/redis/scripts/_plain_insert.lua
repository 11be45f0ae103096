-- The plain case of `insert.lua`: one job, due now, with no unique key and no tags, which is new. It is answered before
-- what many jobs need is so much as defined, which takes longer than all of this.

if ARGV[2] == '\151\1\1\192\194\192\192\192' then -- what is told of a job of which there is nothing to tell
  local now, id, kind = clock(ARGV[1]), ARGV[3], ARGV[4]
  if redis.call('ZADD', ALL, 'NX', 0, id) == 1 then
    local place = string.sub(kind, 15, -2) -- queue, NUL, task
    local first = string.find(place, '\0', 1, true)
    local queue, line = string.sub(place, 1, first - 1), LINE .. place
    local score, rest = rank(struct.unpack('>h', kind, 13), now)
    redis.call('HSET', META, id, string.char(PENDING) .. string.rep('\0', 53) .. string.sub(kind, 1, 14) ..
      struct.pack('>i8i8', now, now) .. string.sub(kind, 15) .. string.char(now % 256))
    redis.call('HSET', BODY, id, ARGV[5])
    redis.call('ZADD', line, whole(score), rest .. id)
    if redis.call('ZCARD', line) == 1 then -- it was empty, so nobody knew of it
      redis.call('SADD', TASKS .. queue, string.sub(place, first + 1))
      enter_turns(queue)
    end
    redis.call('HINCRBY', COUNTS, PENDING .. ':' .. queue, 1)
    redis.call('PUBLISH', WAKE, queue)
    return {whole(now)}
  end
end
