#!lua flags=no-writes
-- Whether a claim of a job would get it, most likely.
-- ARGV: job id
-- Returns 1 or 0.
local record = redis.call('HMGET', record_of(ARGV[1]), 'status', 'owner', 'lease_until')
if record[1] == 'running' then
  return tonumber(record[3]) <= now() and 1 or 0
end
if record[1] ~= 'queued' then
  return 0
end
local limit = redis.call('HGET', RUNNING_LIMITS, record[2])
return limit and redis.call('ZCARD', index_of(record[2], 'running')) >= tonumber(limit) and 0 or 1
