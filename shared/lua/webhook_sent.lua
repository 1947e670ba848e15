#!lua flags=allow-oom
-- Note how the delivery of a job's webhook went.
-- ARGV: job id, which attempt it was, error or '' when it was delivered, seconds until it is tried again or '' when it is not
local id = ARGV[1]
if not redis.call('ZSCORE', OUTBOX, id)
    or tonumber(redis.call('HGET', record_of(id), 'webhook_attempts') or 0) ~= ARGV[2] - 1 then
  return -- the job was deleted meanwhile, or this was told before
end
local at = now()
redis.call('HINCRBY', record_of(id), 'webhook_attempts', 1)
if ARGV[3] == '' then
  redis.call('HSET', record_of(id), 'webhook_delivered_at', at)
  redis.call('HDEL', record_of(id), 'webhook_error')
  redis.call('ZREM', OUTBOX, id)
  count('webhooks_delivered')
  return
end
redis.call('HSET', record_of(id), 'webhook_error', ARGV[3])
if ARGV[4] == '' then
  redis.call('ZREM', OUTBOX, id)
  count('webhooks_given_up')
else
  redis.call('ZADD', OUTBOX, at + ARGV[4], id)
  count('webhooks_failed')
end
