-- Take the lease of a job, or learn why not.
-- KEYS: record, queue, due, indexes of queued, running, failed and canceled jobs
-- ARGV: job id, worker, lease in seconds, most attempts, retention in seconds, error of too many attempts
-- Returns {'claimed', fence, attempt}, or {'gone' | 'finished' | 'busy' | 'canceled' | 'exhausted'}.
local record = redis.call('HMGET', KEYS[1], 'status', 'lease_until', 'attempt', 'cancel_requested_at')
local status = record[1]
if not status then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return {'gone'}
end
if status ~= 'queued' and status ~= 'running' then
  return {'finished'}
end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
if status == 'running' and tonumber(record[2]) > now then
  return {'busy'}
end

local function finish(outcome, index, ...)
  redis.call('HSET', KEYS[1], 'status', outcome, 'finished_at', now, 'expires_at', now + ARGV[5], ...)
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  redis.call('ZADD', index, 0, ARGV[1])
end

if record[4] then
  finish('canceled', KEYS[7])
  return {'canceled'}
end
if tonumber(record[3]) >= tonumber(ARGV[4]) then
  finish('failed', KEYS[6], 'error', ARGV[6])
  return {'exhausted'}
end
local attempt = redis.call('HINCRBY', KEYS[1], 'attempt', 1)
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('HSET', KEYS[1], 'status', 'running', 'worker', ARGV[2], 'lease_until', now + ARGV[3])
redis.call('HSETNX', KEYS[1], 'started_at', now)
redis.call('ZADD', KEYS[3], now + ARGV[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[5], 0, ARGV[1])
return {'claimed', fence, attempt}
