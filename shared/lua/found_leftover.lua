#!lua
-- Note that something lies in S3 under a job of which nothing else is known: what a removal or a slow worker
-- has left.
-- ARGV: job id
-- Returns 1, or 0 when there is such a job after all.
if redis.call('EXISTS', record_of(ARGV[1])) == 1 then
  return 0
end
redis.call('ZADD', GARBAGE, 'NX', now(), 'jobs/' .. ARGV[1] .. '/')
return 1
