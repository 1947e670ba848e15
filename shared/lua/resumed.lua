#!lua flags=allow-oom
-- Note from which step a worker goes on.
-- ARGV: job id, fence, step
if holds(ARGV[1], ARGV[2]) then
  count('resumed')
  note(ARGV[1], now(), 'resumed', ARGV[2], 'step ' .. ARGV[3])
end
