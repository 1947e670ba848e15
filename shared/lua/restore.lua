#!lua
-- Write the record of a job that Redis has lost, from what S3 knows of it.
-- ARGV: job id, owner, priority, created at, status, finished at or '', retention in seconds, inputs as JSON,
--   SHA-256 of the idempotency key or '', SHA-256 of its request, how long the key is kept in seconds,
--   then field, value, ...
-- Returns 1, or 0 when the job is known or was forgotten.
local id, owner, status = ARGV[1], ARGV[2], ARGV[5]
if redis.call('EXISTS', record_of(id), string.format(GONE_PATTERN, id)) > 0 then
  return 0
end
local at = now()
-- Greater than any fence that was counted before, also by workers that still run.
write_job(id, owner, ARGV[4], status, math.floor(at), inputs_of(ARGV[8]), {unpack(ARGV, 12)})
if status == 'queued' then
  redis.call('HINCRBY', UNFINISHED, owner, 1)
  enqueue(id, ARGV[3], at)
else
  local expires_at = ARGV[6] + ARGV[7]
  redis.call('HSET', record_of(id), 'finished_at', ARGV[6], 'expires_at', expires_at)
  redis.call('ZADD', EXPIRY, expires_at, id)
end
if ARGV[9] ~= '' then
  local key = string.format(IDEMPOTENCY_PATTERN, owner, ARGV[9])
  redis.call('HSET', key, 'request', ARGV[10], 'job', id)
  redis.call('EXPIRE', key, ARGV[11])
end
count('restored')
note(id, at, 'restored', math.floor(at), status)
return 1
