-- Write the record of a new job and put it at the end of its queue.
-- KEYS: record, queue, index of queued jobs
-- ARGV: job id, priority rank (0 is first), most jobs in the queue, then field, value, ...
-- Returns 1, or 0 when the queue is full.
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then
  return 0
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'status', 'queued', 'attempt', 0, 'fence', 0,
  'created_at', now[1] + now[2] / 1e6, unpack(ARGV, 4))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], 0, ARGV[1])
return 1
