-- End a running job, once, by the worker that holds it.
-- KEYS: record, due, index of running jobs, index of the new status
-- ARGV: job id, fence, new status, retention in seconds, then field, value, ...
-- Returns 1, or 0 when somebody else holds the job or it has ended: then nothing is written.
local record = redis.call('HMGET', KEYS[1], 'status', 'fence')
if record[1] ~= 'running' or record[2] ~= ARGV[2] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'finished_at', now, 'expires_at', now + ARGV[4],
  unpack(ARGV, 5))
redis.call('HDEL', KEYS[1], 'lease_until')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], 0, ARGV[1])
return 1
