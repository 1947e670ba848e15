#!lua flags=allow-oom
-- End a running job, once, by the worker that holds it.
-- ARGV: job id, token of the lease, new status, retention in seconds, code of the error or '', then field, value, ...
-- Returns 1, or 0 when somebody else holds the job or it has ended otherwise: then nothing is written.
local id = ARGV[1]
local status, is_last = seen_by(id, ARGV[2])
if status == ARGV[3] and is_last then
  return 1 -- told again, since the answer was lost
end
if not may_write(id, ARGV[2]) then
  return 0
end
end_job(id, now(), ARGV[3], ARGV[4], {unpack(ARGV, 6)}, ARGV[5] ~= '' and ARGV[5] or nil)
return 1
