-- Renew the lease of a running job.
-- KEYS: record, due
-- ARGV: job id, fence, lease in seconds
-- Returns 1, or 0 when somebody else holds the job or it has ended.
local record = redis.call('HMGET', KEYS[1], 'status', 'fence')
if record[1] ~= 'running' or record[2] ~= ARGV[2] then
  return 0
end
local now = redis.call('TIME')
local lease_until = now[1] + now[2] / 1e6 + ARGV[3]
redis.call('HSET', KEYS[1], 'lease_until', lease_until)
redis.call('ZADD', KEYS[2], lease_until, ARGV[1])
return 1
