#!lua flags=allow-oom
-- Forget a finished job.
-- ARGV: job id, how long it is known to be gone in seconds, when the sweep looks at what it stored in seconds
-- Returns 'deleted', 'unfinished', or nil when there is no such job.
local status = redis.call('HGET', record_of(ARGV[1]), 'status')
if not status then
  return nil
end
if status == 'queued' or status == 'running' then
  return 'unfinished'
end
local at = now()
forget_job(ARGV[1], at, ARGV[2], at + ARGV[3])
count('deleted')
return 'deleted'
