#!lua flags=allow-oom
-- Note how the delivery of a job's webhook went.
-- ARGV: job id, error or '' when it was delivered, seconds until it is tried again or '' when it is not
local id = ARGV[1]
if redis.call('ZSCORE', OUTBOX, id) == false then
  return -- the job was deleted meanwhile, or another sender was quicker
end
local at = now()
redis.call('HINCRBY', record_of(id), 'webhook_attempts', 1)
if ARGV[2] == '' then
  redis.call('HSET', record_of(id), 'webhook_delivered_at', at)
  redis.call('HDEL', record_of(id), 'webhook_error')
  redis.call('ZREM', OUTBOX, id)
  count('webhooks_delivered')
  return
end
redis.call('HSET', record_of(id), 'webhook_error', ARGV[2])
if ARGV[3] == '' then
  redis.call('ZREM', OUTBOX, id)
  count('webhooks_given_up')
else
  redis.call('ZADD', OUTBOX, at + ARGV[3], id)
  count('webhooks_failed')
end
