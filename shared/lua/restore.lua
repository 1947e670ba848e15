#!lua
-- Write the record of a job that Redis has lost, from what S3 knows of it.
-- ARGV: job id, owner, priority, created at, status, finished at or '', retention in seconds, inputs as JSON,
--   SHA-256 of the idempotency key or '', SHA-256 of its request, how long the key is kept in seconds, most
--   running jobs of its owner or '', how old an end may be of which its webhook tells again in seconds, then
--   field, value, ...
-- Returns 1, or 0 when the job is known or was forgotten.
local id, owner, status = ARGV[1], ARGV[2], ARGV[5]
if redis.call('EXISTS', record_of(id), string.format(GONE_PATTERN, id)) > 0
    or redis.call('ZSCORE', GARBAGE, string.format(JOB_PREFIX_PATTERN, id)) then
  return 0
end
local at = now()
-- Greater than any fence that was counted before, also by workers that still run.
write_job(id, owner, ARGV[4], status, math.floor(at), inputs_of(ARGV[8]), {unpack(ARGV, 14)})
if status == 'queued' then
  redis.call('HINCRBY', UNFINISHED, owner, 1)
  if ARGV[12] ~= '' then
    redis.call('HSETNX', RUNNING_LIMITS, owner, ARGV[12]) -- unless a job was accepted since, which knows better
  end
  enqueue(id, ARGV[3], at, at)
else
  local expires_at = ARGV[6] + ARGV[7]
  redis.call('HSET', record_of(id), 'finished_at', ARGV[6], 'expires_at', expires_at)
  redis.call('ZADD', EXPIRY, expires_at, id)
  redis.call('ZADD', GARBAGE, at, string.format(CHECKPOINTS_PREFIX_PATTERN, id))
  -- S3 does not know whether its webhook was delivered. Receivers are told twice rather than not at all.
  if redis.call('HEXISTS', record_of(id), 'webhook') == 1 and ARGV[6] + ARGV[13] > at then
    redis.call('ZADD', OUTBOX, at, id)
  end
end
local key = string.format(IDEMPOTENCY_PATTERN, owner, ARGV[9])
local key_seconds = math.ceil(ARGV[4] + ARGV[11] - at)
if ARGV[9] ~= '' and key_seconds > 0 and not redis.call('HGET', key, 'job') then
  -- A request that is worked on meanwhile finds itself superseded, and is sent again.
  redis.call('HSET', key, 'request', ARGV[10], 'job', id)
  redis.call('EXPIRE', key, key_seconds)
end
count('restored')
note(id, at, 'restored', math.floor(at), status)
return 1
