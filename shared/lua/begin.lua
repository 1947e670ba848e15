#!lua
-- See which request came with an idempotency key first.
-- ARGV: owner, SHA-256 of the key, SHA-256 of the request, a new ticket, how long a request may take in
--   seconds
-- Returns {'begun'}: nobody, go on; {'done', job id}: this one, it made that job; {'in_flight'}: this one,
--   and it is still worked on; {'mismatch'}: another one.
local key = string.format(IDEMPOTENCY_PATTERN, ARGV[1], ARGV[2])
local known = redis.call('HMGET', key, 'request', 'job', 'ticket')
if not known[2] and known[3] == ARGV[4] then -- asked again, since the answer was lost
  return {'begun'}
end
if not known[1] then
  redis.call('HSET', key, 'request', ARGV[3], 'ticket', ARGV[4])
  redis.call('EXPIRE', key, ARGV[5])
  return {'begun'}
end
if known[1] ~= ARGV[3] then
  return {'mismatch'}
end
if known[2] then
  count('replayed')
  return {'done', known[2]}
end
return {'in_flight'}
