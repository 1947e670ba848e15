#!lua flags=allow-oom
-- Take an input that nobody has used for a while, to be removed from S3 now. Until it is, or the time for it is
-- over, nobody can begin to use it.
-- ARGV: for how many seconds nobody may have used it, how long the removal may take in seconds, a new name for
--   this removal
-- Returns its SHA-256, nil when there is none, or '' when there may be one among those not looked at yet.
local MOST = 100
local at = now()
local found = redis.call('ZRANGEBYSCORE', UNUSED_INPUTS, '-inf', at - ARGV[1], 'LIMIT', 0, MOST)
for _, sha256 in ipairs(found) do
  if redis.call('HEXISTS', INPUT_USES, sha256) == 0 then
    redis.call('SET', string.format(INPUT_DELETING_PATTERN, sha256), ARGV[3], 'PX', math.ceil(ARGV[2] * 1000))
    -- It comes back if whoever took it is lost.
    redis.call('ZADD', UNUSED_INPUTS, at + ARGV[2] - ARGV[1], sha256)
    return sha256
  end
  redis.call('ZREM', UNUSED_INPUTS, sha256) -- it was touched, and then a job came
end
return #found == MOST and '' or nil
