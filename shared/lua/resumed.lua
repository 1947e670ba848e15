#!lua flags=allow-oom
-- Note from which step a worker goes on.
-- ARGV: job id, token of the lease, step
if holds(ARGV[1], ARGV[2]) and redis.call('HGET', record_of(ARGV[1]), 'resumed') ~= ARGV[2] then
  redis.call('HSET', record_of(ARGV[1]), 'resumed', ARGV[2]) -- once for each lease
  count('resumed')
  note(ARGV[1], now(), 'resumed', redis.call('HGET', record_of(ARGV[1]), 'fence'), 'step ' .. ARGV[3])
end
