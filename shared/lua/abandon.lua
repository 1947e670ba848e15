#!lua flags=allow-oom
-- Free an idempotency key whose request was refused, so that it can be sent again.
-- ARGV: owner, SHA-256 of the key, the ticket that was drawn for it
local key = string.format(IDEMPOTENCY_PATTERN, ARGV[1], ARGV[2])
if redis.call('HGET', key, 'ticket') == ARGV[3] and not redis.call('HGET', key, 'job') then
  redis.call('DEL', key)
end
