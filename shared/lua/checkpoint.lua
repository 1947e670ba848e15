#!lua flags=allow-oom
-- Make a stored checkpoint the one from which the next worker goes on; the one before it is kept too.
-- ARGV: job id, token of the lease, checkpoint as JSON, how many are kept
-- Returns the keys of those that are not needed any more, or nil when somebody else holds the job.
local id = ARGV[1]
if not may_write(id, ARGV[2]) then
  return nil
end
local checkpoint = cjson.decode(ARGV[3])
local kept, dropped = {ARGV[3]}, {}
local known = redis.call('HGET', record_of(id), 'checkpoints')
for _, other in ipairs(known and cjson.decode(known) or {}) do
  if other.key ~= checkpoint.key then
    if #kept < tonumber(ARGV[4]) then
      table.insert(kept, cjson.encode(other))
    else
      table.insert(dropped, other.key)
    end
  end
end
if known and cjson.decode(known)[1].key == checkpoint.key then
  return {} -- told again, since the answer was lost
end
redis.call('HSET', record_of(id), 'checkpoints', '[' .. table.concat(kept, ',') .. ']')
count('checkpoints')
count('checkpoint_bytes', checkpoint.size_bytes)
return dropped
