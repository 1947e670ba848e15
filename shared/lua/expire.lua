#!lua flags=allow-oom
-- Forget jobs that were kept long enough.
-- ARGV: most jobs at once, how long they are known to be gone in seconds
-- Returns how many.
local at = now()
local expired = redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', at, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(expired) do
  forget_job(id, at, ARGV[2], at)
end
count('expired', #expired)
return #expired
