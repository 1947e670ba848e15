#!lua
-- Note inputs that lie in S3: those that no job uses are removed after a while.
-- ARGV: SHA-256 of inputs
-- Returns how many no job uses.
local at = now()
local unused = 0
for _, sha256 in ipairs(ARGV) do
  if redis.call('HEXISTS', INPUT_USES, sha256) == 0 then
    redis.call('ZADD', UNUSED_INPUTS, 'NX', at, sha256)
    unused = unused + 1
  end
end
return unused
