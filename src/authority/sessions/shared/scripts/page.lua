-- Ids, each with its score, from one score to below another, after a given one of these.
--
-- KEYS: 1 sessions by when they were last seen.
-- ARGV: 1 from, 2 to, 3 the score and 4 the id that come before, or '', 5 how many.

-- Ids stand in the order of their bytes, and `<` would follow the locale of the server.
local function comes_after(one, other)
  for i = 1, math.min(#one, #other) do
    local byte, against = string.byte(one, i), string.byte(other, i)
    if byte ~= against then
      return byte > against
    end
  end
  return #one > #other
end

local first
if ARGV[4] == '' then
  first = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[1])
else
  first = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[3])
  -- Of those with the same score, which are in the order of their ids.
  local past = redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[3])
  while first < past do
    local middle = math.floor((first + past) / 2)
    if comes_after(redis.call('ZRANGE', KEYS[1], middle, middle)[1], ARGV[4]) then
      past = middle
    else
      first = middle + 1
    end
  end
end
local last = math.min(redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[2]), first + tonumber(ARGV[5])) - 1
if last < first then
  return {}
end
return redis.call('ZRANGE', KEYS[1], first, last, 'WITHSCORES')
