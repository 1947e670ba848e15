#!lua flags=allow-oom
-- Forget a finished job.
-- ARGV: job id, how long it is known to be gone in seconds
-- Returns 'deleted', 'unfinished', or nil when there is no such job.
local status = redis.call('HGET', record_of(ARGV[1]), 'status')
if not status then
  return nil
end
if status == 'queued' or status == 'running' then
  return 'unfinished'
end
forget_job(ARGV[1], now(), ARGV[2])
count('deleted')
return 'deleted'
