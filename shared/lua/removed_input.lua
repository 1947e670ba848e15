#!lua flags=allow-oom
-- An unused input is no longer in S3.
-- ARGV: its SHA-256
redis.call('ZREM', UNUSED_INPUTS, ARGV[1])
redis.call('DEL', string.format(INPUT_DELETING_PATTERN, ARGV[1]))
count('inputs_removed')
