#!lua flags=allow-oom
-- Cancel a job: a queued one at once, a running one by a flag that its worker reads at the next step.
-- ARGV: job id, retention in seconds
-- Returns the status that the job has now, or nil when there is no such job.
local id = ARGV[1]
local record = redis.call('HMGET', record_of(id), 'status', 'fence', 'cancel_requested_at')
local status = record[1]
if status ~= 'queued' and status ~= 'running' then
  return status
end
if record[3] then
  return status
end
local at = now()
redis.call('HSET', record_of(id), 'cancel_requested_at', at)
if status == 'running' then
  note(id, at, 'canceling', record[2])
  return status
end
end_job(id, at, 'canceled', ARGV[2], {})
return 'canceled'
