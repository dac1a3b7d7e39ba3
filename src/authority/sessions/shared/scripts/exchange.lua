-- Tells what this authority has heard, and returns what all of them have.
--
-- KEYS: 1 sources, 2 how often something was lost.
-- ARGV: 1 whether something was lost; then for each source 3: its name, how many milliseconds ago it was
-- heard, its interval in milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV, 3 do
  local heard, interval = now - tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  if known then
    local known_heard, known_interval = string.match(known, '^(%d+) (%d+)$')
    known_heard, known_interval = tonumber(known_heard), tonumber(known_interval)
    -- Edges with one credential may differ, and the longest interval counts while it is in use.
    if known_interval > interval and heard - known_heard <= 3 * known_interval then
      interval = known_interval
    end
    heard = math.max(heard, known_heard)
  end
  redis.call('HSET', KEYS[1], ARGV[i], string.format('%.0f %.0f', heard, interval))
end
local losses = redis.call('GET', KEYS[2]) or '0'
if ARGV[1] == '1' then
  losses = tostring(redis.call('INCR', KEYS[2]))
end
local answer = {losses}
local sources = redis.call('HGETALL', KEYS[1])
for i = 1, #sources, 2 do
  local heard, interval = string.match(sources[i + 1], '^(%d+) (%d+)$')
  local ago = now - tonumber(heard)
  if ago > 86400000 then
    redis.call('HDEL', KEYS[1], sources[i])
  else
    answer[#answer + 1] = sources[i]
    answer[#answer + 1] = heard
    answer[#answer + 1] = string.format('%.0f', math.max(ago, 0))
    answer[#answer + 1] = interval
  end
end
return answer
