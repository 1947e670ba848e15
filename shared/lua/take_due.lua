#!lua flags=allow-oom
-- Unfinished jobs that somebody should look after; each is put off by being taken.
-- ARGV: most jobs at once, seconds until the message of a job is sent again
-- Returns id, priority, id, priority, ...
local at = now()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', at, 'LIMIT', 0, ARGV[1])) do
  local record = redis.call('HMGET', record_of(id), 'status', 'queued_at', 'priority')
  if record[1] then
    -- A waiting job comes again when it has waited twice as long, so that a long queue is not filled with
    -- messages about itself.
    local waited = record[1] == 'queued' and at - record[2] or 0
    redis.call('ZADD', DUE, at + math.max(tonumber(ARGV[2]), waited), id)
    table.insert(found, id)
    table.insert(found, record[3])
  else
    redis.call('ZREM', DUE, id)
  end
end
count('republished', #found / 2)
return found
