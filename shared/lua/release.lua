-- Give a running job back unfinished: it waits again, and this attempt does not count. One that was to be
-- cancelled ends here.
-- KEYS: record, queue, due, indexes of queued, running and canceled jobs
-- ARGV: job id, fence, priority rank, retention in seconds
-- Returns 'queued' or 'canceled', or nil when somebody else holds the job or it has ended.
local record = redis.call('HMGET', KEYS[1], 'status', 'fence', 'cancel_requested_at')
if record[1] ~= 'running' or record[2] ~= ARGV[2] then
  return nil
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HDEL', KEYS[1], 'lease_until')
redis.call('ZREM', KEYS[5], ARGV[1])
if record[3] then
  redis.call('HSET', KEYS[1], 'status', 'canceled', 'finished_at', now, 'expires_at', now + ARGV[4])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[6], 0, ARGV[1])
  return 'canceled'
end
redis.call('HSET', KEYS[1], 'status', 'queued')
redis.call('HINCRBY', KEYS[1], 'attempt', -1)
redis.call('HDEL', KEYS[1], 'worker')
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZADD', KEYS[4], 0, ARGV[1])
return 'queued'
