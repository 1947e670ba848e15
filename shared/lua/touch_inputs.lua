#!lua
-- Say that inputs are about to be used, so that nobody removes them.
-- ARGV: SHA-256 of inputs
-- Returns 1, or 0 when one of them is being removed at this moment.
local at = now()
for _, sha256 in ipairs(ARGV) do
  if redis.call('EXISTS', string.format(INPUT_DELETING_PATTERN, sha256)) == 1 then
    return 0
  end
end
for _, sha256 in ipairs(ARGV) do
  if not redis.call('HGET', INPUT_USES, sha256) then
    redis.call('ZADD', UNUSED_INPUTS, at, sha256)
  end
end
return 1
