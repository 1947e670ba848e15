#!lua
-- Say that inputs are about to be used, so that nobody removes them.
-- ARGV: for how many seconds they are safe, then SHA-256 of inputs
-- Returns those that may lie in S3, or nil when one of them is being removed at this moment.
local known = {}
for index = 2, #ARGV do
  local sha256 = ARGV[index]
  if redis.call('EXISTS', string.format(INPUT_DELETING_PATTERN, sha256)) == 1 then
    return nil
  end
  if redis.call('ZSCORE', UNUSED_INPUTS, sha256) or redis.call('HEXISTS', INPUT_USES, sha256) == 1 then
    table.insert(known, sha256)
  end
end
-- Also those that a job uses: it may be deleted before the new one is there.
local until_at = now() + ARGV[1]
for index = 2, #ARGV do
  redis.call('ZADD', UNUSED_INPUTS, 'GT', until_at, ARGV[index])
end
return known
