#!lua flags=allow-oom
-- Inputs that nobody has used for a while, to be removed from S3 now.
-- ARGV: most at once, for how many seconds nobody may have used them, how long the removal may take in seconds
local found = redis.call('ZRANGEBYSCORE', UNUSED_INPUTS, '-inf', now() - ARGV[2], 'LIMIT', 0, ARGV[1])
for _, sha256 in ipairs(found) do
  redis.call('SET', string.format(INPUT_DELETING_PATTERN, sha256), '1', 'EX', math.ceil(tonumber(ARGV[3])))
end
return found
