#!lua
-- Accept a job: write its record, put it at the end of its queue, and note its idempotency key.
-- ARGV: job id, owner, priority, most jobs in the queue, most unfinished jobs of an owner, most of its jobs that
--   are kept, most that run at a time or '', seconds until its message is sent again, inputs as JSON, SHA-256 of the
--   idempotency key or '', the ticket that was drawn for it, how long the key is kept in seconds, then field, value, ...
-- Returns 'created', or why not: 'queue_full', 'too_many_jobs', 'too_many_kept', 'superseded'.
local id, owner, priority = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', record_of(id)) == 1 then
  return 'created'
end
if redis.call('EXISTS', string.format(GONE_PATTERN, id)) == 1 then
  return 'superseded' -- it was withdrawn, since nobody had heard of it
end
local key = string.format(IDEMPOTENCY_PATTERN, owner, ARGV[10])
if ARGV[10] ~= '' and (redis.call('HGET', key, 'ticket') ~= ARGV[11] or redis.call('HEXISTS', key, 'job') == 1) then
  return 'superseded' -- this request took so long that the next one with its key went ahead
end
local refusal = refusal_of(owner, ARGV[4], ARGV[5], ARGV[6])
if refusal then
  return refusal
end
local at = now()
write_job(id, owner, at, 'queued', 0, inputs_of(ARGV[9]), {unpack(ARGV, 13)})
redis.call('HINCRBY', UNFINISHED, owner, 1)
if ARGV[7] == '' then
  redis.call('HDEL', RUNNING_LIMITS, owner)
else
  redis.call('HSET', RUNNING_LIMITS, owner, ARGV[7])
end
call_up(owner, at)
enqueue(id, priority, at, at + ARGV[8])
if ARGV[10] ~= '' then
  redis.call('HSET', key, 'job', id)
  redis.call('EXPIRE', key, ARGV[12])
end
count('created')
note(id, at, 'created', 0)
return 'created'
