#!lua flags=allow-oom
-- Take the lease of a job, or learn why not.
-- ARGV: job id, worker, a new name for this claim, lease in seconds, most attempts, longest run in seconds,
--   retention in seconds, error of too many attempts, error of a run too long
-- Returns {'claimed', fence, attempt}, or
--   {'gone' | 'finished' | 'busy' | 'held_back' | 'canceled' | 'exhausted' | 'overdue'}.
local id = ARGV[1]
local record = redis.call('HMGET', record_of(id), 'status', 'owner', 'attempt', 'fence', 'claim', 'lease_until',
  'claimed_at', 'ran_seconds', 'cancel_requested_at', 'created_at', 'started_at', 'worker', 'priority')
local status = record[1]
if not status then
  redis.call('ZREM', QUEUE, id)
  redis.call('ZREM', DUE, id)
  redis.call('ZREM', LEASES, id)
  return {'gone'}
end
if status ~= 'queued' and status ~= 'running' then
  return {'finished'}
end
local at = now()
local ran = tonumber(record[8] or 0)
if status == 'running' then
  if record[5] == ARGV[3] then -- asked again, since the answer was lost
    redis.call('HSET', record_of(id), 'lease_until', at + ARGV[4])
    redis.call('ZADD', LEASES, at + ARGV[4], id)
    return {'claimed', tonumber(record[4]), tonumber(record[3])}
  end
  local lease_until = tonumber(record[6])
  if lease_until > at then
    count('busy')
    return {'busy'}
  end
  ran = ran + lease_until - record[7]
  count('lost')
  note(id, at, 'lost', record[4], record[12])
end
if record[9] then
  end_job(id, at, 'canceled', ARGV[7], {})
  return {'canceled'}
end
if tonumber(record[3]) >= tonumber(ARGV[5]) then
  end_job(id, at, 'failed', ARGV[7], {'error', ARGV[8]}, cjson.decode(ARGV[8]).code)
  return {'exhausted'}
end
if ran >= tonumber(ARGV[6]) then
  end_job(id, at, 'failed', ARGV[7], {'error', ARGV[9]}, cjson.decode(ARGV[9]).code)
  return {'overdue'}
end
-- One that runs, as its record says, has its place among its owner's running jobs already.
if status == 'queued' and hold_back(id, record[2], turn_of(record[13], record[11])) then
  count('held_back')
  return {'held_back'}
end
local attempt = redis.call('HINCRBY', record_of(id), 'attempt', 1)
local fence = redis.call('HINCRBY', record_of(id), 'fence', 1)
redis.call('HSET', record_of(id), 'status', 'running', 'worker', ARGV[2], 'claim', ARGV[3], 'claimed_at', at,
  'lease_until', at + ARGV[4], 'ran_seconds', ran, 'deadline_at', at + ARGV[6] - ran)
if not record[11] then
  redis.call('HSET', record_of(id), 'started_at', at)
  observe('queue_seconds', at - record[10])
end
redis.call('ZADD', LEASES, at + ARGV[4], id)
redis.call('ZREM', DUE, id)
redis.call('ZREM', QUEUE, id)
move(id, record[2], status, 'running')
count('claims')
note(id, at, 'claimed', fence, ARGV[2])
return {'claimed', fence, attempt}
