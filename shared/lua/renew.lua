#!lua flags=allow-oom
-- Renew the lease of a running job.
-- ARGV: job id, token of the lease, lease in seconds
-- Returns 'held'; 'overdue': held, but it has run too long; 'lost': somebody else holds it, or it has ended.
if not holds(ARGV[1], ARGV[2]) then
  return 'lost'
end
local at = now()
redis.call('HSET', record_of(ARGV[1]), 'lease_until', at + ARGV[3])
redis.call('ZADD', LEASES, at + ARGV[3], ARGV[1])
if tonumber(redis.call('HGET', record_of(ARGV[1]), 'deadline_at')) < at then
  return 'overdue'
end
return 'held'
