#!lua flags=allow-oom
-- An unused input is no longer in S3.
-- ARGV: its SHA-256, the name of the removal
-- Returns 1, or 0 when the time for it was over: then somebody may have stored it again before it was removed.
local deleting = string.format(INPUT_DELETING_PATTERN, ARGV[1])
if redis.call('GET', deleting) ~= ARGV[2] then
  return 0
end
redis.call('DEL', deleting)
redis.call('ZREM', UNUSED_INPUTS, ARGV[1])
count('inputs_removed')
return 1
