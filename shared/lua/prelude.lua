-- What all scripts share. Before it stand the names of keys and `now`.

local MAX_HISTORY_BYTES = 4000

local function record_of(id)
  return string.format(RECORD_PATTERN, id)
end

local function index_of(owner, status)
  return string.format(INDEX_PATTERN, owner, status)
end

local function held_back_of(owner)
  return string.format(HELD_BACK_PATTERN, owner)
end

-- Count something that has happened.
local function count(what, times)
  redis.call('HINCRBY', COUNTERS, what, times or 1)
end

-- Count a duration, as the buckets of a Prometheus histogram.
local function observe(what, seconds)
  for _, bound in ipairs(DURATION_BUCKETS) do
    if seconds <= bound then
      count(what .. ':' .. bound)
    end
  end
  count(what .. ':count')
  redis.call('HINCRBYFLOAT', COUNTERS, what .. ':sum', seconds)
end

-- Write a line into the history of a job: the time, what happened, under which fence, and more.
local function note(id, at, event, fence, detail)
  local history = redis.call('HGET', record_of(id), 'history') or ''
  detail = string.gsub(detail or '', '[\r\n]', ' ')
  history = history .. string.format('%.3f %s %s %s\n', at, event, fence, detail)
  while #history > MAX_HISTORY_BYTES do -- the oldest but the first line goes
    history = string.gsub(history, '^([^\n]*\n)[^\n]*\n', '%1')
  end
  redis.call('HSET', record_of(id), 'history', history)
end

-- Bring a job from one status, or none, to another.
local function move(id, owner, from, to)
  if from then
    redis.call('ZREM', index_of(owner, from), id)
    redis.call('HINCRBY', STATUSES, from, -1)
  end
  redis.call('ZADD', index_of(owner, to), 0, id)
  redis.call('HINCRBY', STATUSES, to, 1)
end

-- Why no further job of an owner is accepted, or nothing: most jobs in the queue, most unfinished ones of an owner,
-- most that are kept of it.
local function refusal_of(owner, most_queued, most_unfinished, most_kept)
  if redis.call('ZCARD', QUEUE) >= tonumber(most_queued) then
    return 'queue_full'
  end
  if tonumber(redis.call('HGET', UNFINISHED, owner) or 0) >= tonumber(most_unfinished) then
    return 'too_many_jobs'
  end
  local kept = 0
  for _, status in ipairs(ALL_STATUSES) do
    kept = kept + redis.call('ZCARD', index_of(owner, status))
  end
  if kept >= tonumber(most_kept) then
    return 'too_many_kept'
  end
end

-- Write the record of a new job, and count the inputs as used. `fields` alternate with values.
local function write_job(id, owner, at, status, fence, inputs, fields)
  redis.call('HSET', record_of(id), 'owner', owner, 'status', status, 'attempt', 0, 'fence', fence,
    'created_at', at, unpack(fields))
  move(id, owner, nil, status)
  for _, sha256 in ipairs(inputs) do
    redis.call('HINCRBY', INPUT_USES, sha256, 1)
  end
end

-- Let a job wait for a worker; its message is sent again at `due`.
local function enqueue(id, priority, at, due)
  redis.call('HSET', record_of(id), 'queued_at', at)
  redis.call('ZADD', QUEUE, RANKS[priority], id)
  redis.call('ZADD', DUE, due, id)
end

-- The order among the waiting jobs of an owner: a job that was begun goes first.
local function turn_of(priority, begun)
  return begun and -1 or RANKS[priority]
end

-- Waiting jobs that were held back, and that their owner's limit allows to run now; the next first.
local function allowed_of(owner)
  local limit, last = redis.call('HGET', RUNNING_LIMITS, owner), -1
  if limit then
    last = limit - redis.call('ZCARD', index_of(owner, 'running')) - 1
    if last < 0 then
      return {}
    end
  end
  return redis.call('ZRANGE', held_back_of(owner), 0, last)
end

-- Whether the limit of its owner keeps a waiting job from running now. Then nobody sends its message any more,
-- until it is called up. Those that were held back before it, and have their turn before it, go before it.
local function hold_back(id, owner, turn)
  local limit = redis.call('HGET', RUNNING_LIMITS, owner)
  if not limit then
    return false
  end
  local held_back = held_back_of(owner)
  redis.call('ZADD', held_back, turn, id)
  local before = redis.call('ZCARD', index_of(owner, 'running')) + redis.call('ZRANK', held_back, id)
  if before < tonumber(limit) then
    redis.call('ZREM', held_back, id)
    return false
  end
  redis.call('ZREM', DUE, id)
  return true
end

-- Let the messages of jobs that may run now be due at once. To be called whenever an owner has one running job
-- less, one held back job less, or another limit.
local function call_up(owner, at)
  for _, id in ipairs(allowed_of(owner)) do
    if redis.call('EXISTS', record_of(id)) == 0 then -- somebody has removed it by hand
      redis.call('ZREM', held_back_of(owner), id)
      return call_up(owner, at)
    elseif redis.call('ZADD', DUE, 'NX', at, id) == 1 then
      redis.call('HSET', record_of(id), 'queued_at', at)
    end
  end
  if redis.call('HEXISTS', RUNNING_LIMITS, owner) == 0 then
    redis.call('DEL', held_back_of(owner))
  end
end

-- What has to be known of a job to send its message: its id, its priority, 1 if a worker had begun it or '', 1 if
-- it was held back or ''.
local function message_of(id)
  local record = redis.call('HMGET', record_of(id), 'priority', 'started_at', 'owner')
  local was_held_back = redis.call('ZSCORE', held_back_of(record[3]), id)
  return {id, record[1], record[2] and 1 or '', was_held_back and 1 or ''}
end

-- Hashes of the inputs of a job, each once.
local function inputs_of(encoded)
  local inputs, found, seen = cjson.decode(encoded), {}, {}
  local function add(sha256)
    if type(sha256) == 'string' and not seen[sha256] then
      seen[sha256] = true
      table.insert(found, sha256)
    end
  end
  add(inputs.content)
  add(inputs.init)
  for _, sha256 in ipairs(inputs.styles) do add(sha256) end
  for _, sha256 in ipairs(inputs.masks or {}) do add(sha256) end
  return found
end

-- End a job, once and for all. `fields` alternate with values; `why` goes into the history.
local function end_job(id, at, status, retention, fields, why)
  local record = record_of(id)
  local old = redis.call('HMGET', record, 'owner', 'status', 'fence', 'webhook', 'started_at')
  redis.call('HSET', record, 'status', status, 'finished_at', at, 'expires_at', at + retention, unpack(fields))
  redis.call('HDEL', record, 'lease_until', 'deadline_at', 'checkpoints')
  move(id, old[1], old[2], status)
  if redis.call('HINCRBY', UNFINISHED, old[1], -1) <= 0 then
    redis.call('HDEL', UNFINISHED, old[1])
    redis.call('HDEL', RUNNING_LIMITS, old[1])
  end
  redis.call('ZREM', QUEUE, id)
  redis.call('ZREM', DUE, id)
  redis.call('ZREM', LEASES, id)
  redis.call('ZREM', held_back_of(old[1]), id)
  call_up(old[1], at)
  redis.call('ZADD', EXPIRY, at + retention, id)
  if old[4] then
    redis.call('ZADD', OUTBOX, at, id)
  end
  if old[5] then -- its worker may be storing a checkpoint at this moment: see garbage.py
    redis.call('ZADD', GARBAGE, at, string.format(CHECKPOINTS_PREFIX_PATTERN, id))
    observe('run_seconds', at - old[5])
  end
  count(why and status .. ':' .. why or status)
  note(id, at, status, old[3], why)
end

-- Forget a finished job. What it used is left to the sweep; so is what it stored, from `sweep_at` on.
local function forget_job(id, at, retention, sweep_at)
  local record = record_of(id)
  local old = redis.call('HMGET', record, 'owner', 'status', 'inputs')
  if not old[1] then -- somebody has removed the record by hand: it must not hold up the others
    redis.call('ZREM', EXPIRY, id)
    return
  end
  for _, sha256 in ipairs(inputs_of(old[3])) do
    if redis.call('HINCRBY', INPUT_USES, sha256, -1) <= 0 then
      redis.call('HDEL', INPUT_USES, sha256)
      redis.call('ZADD', UNUSED_INPUTS, 'GT', at, sha256) -- somebody may be about to use it until later
    end
  end
  redis.call('ZREM', index_of(old[1], old[2]), id)
  redis.call('HINCRBY', STATUSES, old[2], -1)
  redis.call('ZREM', EXPIRY, id)
  redis.call('ZREM', OUTBOX, id)
  redis.call('DEL', record, string.format(PREVIEW_WANTED_PATTERN, id))
  redis.call('SET', string.format(GONE_PATTERN, id), old[1], 'EX', math.ceil(retention))
  redis.call('ZADD', GARBAGE, sweep_at, string.format(JOB_PREFIX_PATTERN, id))
end

-- The token of the last claim of a job. The fence alone would not do: where Redis comes back from an older
-- file, it is counted up to the same number again.
local function token_of(fence, claim)
  return fence .. '-' .. claim
end

-- The status of a job, and whether the worker with this token was the last one that held it.
local function seen_by(id, token)
  local record = redis.call('HMGET', record_of(id), 'status', 'fence', 'claim')
  return record[1], record[3] and token_of(record[2], record[3]) == token
end

-- Whether the worker with this token holds the job.
local function holds(id, token)
  local status, is_last = seen_by(id, token)
  return status == 'running' and is_last
end

-- Whether the worker with this token may write. If not, it is one that was too slow, and that is counted.
local function may_write(id, token)
  if holds(id, token) then
    return true
  end
  count('stale_writes')
  return false
end
