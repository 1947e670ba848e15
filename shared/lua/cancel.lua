-- Cancel a job: a queued one at once, a running one by a flag that its worker reads at the next step.
-- KEYS: record, queue, due, indexes of queued and canceled jobs
-- ARGV: job id, retention in seconds
-- Returns the status that the job has now, or nil when there is no such job.
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'queued' and status ~= 'running' then
  return status
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
redis.call('HSETNX', KEYS[1], 'cancel_requested_at', now)
if status == 'running' then
  return status
end
redis.call('HSET', KEYS[1], 'status', 'canceled', 'finished_at', now, 'expires_at', now + ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[5], 0, ARGV[1])
return 'canceled'
