#!lua flags=no-writes
-- Jobs that need a message since a worker is done with one: that one, if it was given back, and those of its owner
-- that were held back and may run now. None is put off by it: the next round sees to those that still wait then.
-- ARGV: job id
-- Returns what `message_of` says of each, one after the other.
local owner = redis.call('HGET', record_of(ARGV[1]), 'owner')
if not owner then
  return {}
end
local at, found = now(), {}
local candidates = allowed_of(owner)
if not redis.call('ZSCORE', held_back_of(owner), ARGV[1]) then
  table.insert(candidates, ARGV[1])
end
for _, id in ipairs(candidates) do
  local due = redis.call('ZSCORE', DUE, id)
  if due and tonumber(due) <= at then
    for _, value in ipairs(message_of(id)) do
      table.insert(found, value)
    end
  end
end
return found
