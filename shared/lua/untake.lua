#!lua flags=allow-oom
-- Let jobs that were taken be due at once, since their messages could not be sent.
-- ARGV: id, 1 if it was taken for its lease and 0 if not, id, ...
local at = now()
for number = 1, #ARGV, 2 do
  redis.call('ZADD', ARGV[number + 1] == '1' and LEASES or DUE, 'XX', at, ARGV[number])
end
