-- Give a running job back unfinished: it waits again, and this attempt does not count.
-- KEYS: record, queue, indexes of queued and running jobs
-- ARGV: job id, fence, priority rank
-- Returns 1, or 0 when somebody else holds the job or it has ended.
local record = redis.call('HMGET', KEYS[1], 'status', 'fence')
if record[1] ~= 'running' or record[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'status', 'queued')
redis.call('HINCRBY', KEYS[1], 'attempt', -1)
redis.call('HDEL', KEYS[1], 'lease_until', 'worker')
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[3], 0, ARGV[1])
return 1
