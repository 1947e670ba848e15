#!lua flags=allow-oom
-- Give a running job back unfinished: it waits again. One that was to be cancelled ends here.
-- So does one that was given back too often since its workers did not reach S3.
-- ARGV: job id, token of the lease, retention in seconds, how often it may be given back for that reason, the
--   error then, or '' where that is not the reason
-- Returns 'queued', 'canceled' or 'failed', or nil when somebody else holds the job or it has ended.
local id = ARGV[1]
local status, is_last = seen_by(id, ARGV[2])
if status ~= 'running' and is_last then
  return status -- told again, since the answer was lost
end
if not may_write(id, ARGV[2]) then
  return nil
end
local record = redis.call('HMGET', record_of(id), 'fence', 'owner', 'priority', 'cancel_requested_at', 'claimed_at',
  'ran_seconds', 'worker')
local at = now()
if record[4] then
  end_job(id, at, 'canceled', ARGV[3], {})
  return 'canceled'
end
if ARGV[5] ~= '' and redis.call('HINCRBY', record_of(id), 'unreached', 1) >= tonumber(ARGV[4]) then
  end_job(id, at, 'failed', ARGV[3], {'error', ARGV[5]}, cjson.decode(ARGV[5]).code)
  return 'failed'
end
redis.call('HDEL', record_of(id), 'lease_until', 'deadline_at', 'worker')
redis.call('HSET', record_of(id), 'status', 'queued', 'ran_seconds', record[6] + at - record[5])
redis.call('HINCRBY', record_of(id), 'attempt', -1)
redis.call('ZREM', LEASES, id)
move(id, record[2], 'running', 'queued')
enqueue(id, record[3], at, at)
if redis.call('HEXISTS', RUNNING_LIMITS, record[2]) == 1 then -- nobody who was not begun takes its place
  redis.call('ZADD', held_back_of(record[2]), turn_of(record[3], true), id)
  call_up(record[2], at)
end
count('released')
note(id, at, 'released', record[1], record[7])
return 'queued'
