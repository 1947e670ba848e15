#!lua flags=allow-oom
-- Jobs that need a message: those whose lease has run out, which go first, and those that have waited for a
-- while. Each is put off by being taken.
-- ARGV: most jobs at once, seconds until the message of a job is sent again, how many jobs have their turn next
-- Returns id, priority, 1 if it was begun already or '', 1 if it was taken for its lease or '', id, ...
local at, most, pause = now(), tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}

local function take(set, limit, leased, wait)
  local ids = redis.call('ZRANGEBYSCORE', set, '-inf', at, 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local record = redis.call('HMGET', record_of(id), 'status', 'priority', 'queued_at', 'started_at')
    if record[1] then
      redis.call('ZADD', set, at + wait(record), id)
      for _, value in ipairs({id, record[2], record[4] and 1 or '', leased}) do
        table.insert(found, value)
      end
    else
      redis.call('ZREM', set, id)
    end
  end
  return #ids
end

-- Whose turn comes next does not wait for long, however long it has waited.
for _, id in ipairs(redis.call('ZRANGE', QUEUE, 0, ARGV[3] - 1)) do
  local due = redis.call('ZSCORE', DUE, id)
  if due and tonumber(due) > at + pause then
    redis.call('ZADD', DUE, at + pause, id)
  end
end

local lost = take(LEASES, most, 1, function() return pause end)
take(DUE, most - lost, '', function(record)
  -- It comes again when it has waited twice as long, so that a long queue is not filled with messages about
  -- itself.
  return math.max(pause, at - record[3])
end)
count('republished', #found / 4)
return found
