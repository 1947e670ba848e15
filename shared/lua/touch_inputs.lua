#!lua
-- Say that inputs are about to be used, so that nobody removes them.
-- ARGV: for how many seconds they are safe, then SHA-256 of inputs
-- Returns 1, or 0 when one of them is being removed at this moment.
for index = 2, #ARGV do
  if redis.call('EXISTS', string.format(INPUT_DELETING_PATTERN, ARGV[index])) == 1 then
    return 0
  end
end
-- Also those that a job uses: it may be deleted before the new one is there.
local until_at = now() + ARGV[1]
for index = 2, #ARGV do
  redis.call('ZADD', UNUSED_INPUTS, 'GT', until_at, ARGV[index])
end
return 1
