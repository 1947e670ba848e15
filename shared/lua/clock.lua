-- The time, in seconds since 1970. Redis's own, so that no worker's clock matters.
local function now()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1e6
end
