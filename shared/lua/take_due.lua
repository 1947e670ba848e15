#!lua flags=allow-oom
-- Jobs that need a message: those whose lease has run out, which go first, and those that have waited for a
-- while. Each is put off by being taken.
-- ARGV: most jobs at once, seconds until the message of a job is sent again, how many jobs have their turn next
-- Returns {what `message_of` says of each whose lease has run out, one after the other; the same of the others}
local MAX_PASSED_OVER = 1000

local at, most, pause = now(), tonumber(ARGV[1]), tonumber(ARGV[2])
local function take(set, limit, wait)
  local found = {}
  local ids = redis.call('ZRANGEBYSCORE', set, '-inf', at, 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local queued_at = redis.call('HGET', record_of(id), 'queued_at')
    if queued_at then
      redis.call('ZADD', set, at + wait(queued_at), id)
      for _, value in ipairs(message_of(id)) do
        table.insert(found, value)
      end
    else
      redis.call('ZREM', set, id)
    end
  end
  return found, #ids
end

-- Whose turn comes next does not wait for long, however long it has waited. Jobs that are held back are not due,
-- and are passed over, but for very many: that has to end at some time.
local next_jobs = tonumber(ARGV[3])
for _, id in ipairs(redis.call('ZRANGE', QUEUE, 0, next_jobs + MAX_PASSED_OVER - 1)) do
  local due = redis.call('ZSCORE', DUE, id)
  if due then
    if tonumber(due) > at + pause then
      redis.call('ZADD', DUE, at + pause, id)
    end
    next_jobs = next_jobs - 1
    if next_jobs == 0 then
      break
    end
  end
end

local lost, number = take(LEASES, most, function() return pause end)
local waiting = take(DUE, most - number, function(queued_at)
  -- It comes again when it has waited twice as long, so that a long queue is not filled with messages about
  -- itself.
  return math.max(pause, at - queued_at)
end)
count('republished', (#lost + #waiting) / 4)
return {lost, waiting}
