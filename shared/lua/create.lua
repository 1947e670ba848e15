-- Write the record of a new job and put it at the end of its queue.
-- KEYS: record, queue, due, index of queued jobs
-- ARGV: job id, priority rank (0 is first), most jobs in the queue, seconds until its message is sent
--   again, then field, value, ...
-- Returns 1, or 0 when the queue is full.
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then
  return 0
end
local now = redis.call('TIME')
local created_at = now[1] + now[2] / 1e6
redis.call('HSET', KEYS[1], 'status', 'queued', 'attempt', 0, 'fence', 0, 'created_at', created_at,
  unpack(ARGV, 5))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], created_at + ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[4], 0, ARGV[1])
return 1
