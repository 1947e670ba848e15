#!lua flags=allow-oom
-- Members of a sorted set that are due; each is put off by being taken, so that it comes back if whoever took
-- it is lost.
-- ARGV: the sorted set, most members at once, seconds until they come back
local at = now()
local found = redis.call('ZRANGEBYSCORE', ARGV[1], '-inf', at, 'LIMIT', 0, ARGV[2])
for _, member in ipairs(found) do
  redis.call('ZADD', ARGV[1], at + ARGV[3], member)
end
return found
