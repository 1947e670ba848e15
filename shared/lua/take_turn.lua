#!lua flags=allow-oom
-- Take the turn to do what one of many workers does in every interval. Also where Redis is full: what is done
-- then makes room.
-- ARGV: key of the turn, milliseconds until the next one
-- Returns 1, or 0 when somebody else has taken it.
return redis.call('SET', ARGV[1], '1', 'NX', 'PX', ARGV[2]) and 1 or 0
