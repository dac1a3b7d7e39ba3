-- KEYS: 1 sessions by when they were last seen, 2 subjects by the same. ARGV: instants.
local answer = {redis.call('ZCARD', KEYS[1])}
for _, since in ipairs(ARGV) do
  answer[#answer + 1] = redis.call('ZCOUNT', KEYS[1], since, '+inf')
end
for _, since in ipairs(ARGV) do
  answer[#answer + 1] = redis.call('ZCOUNT', KEYS[2], since, '+inf')
end
return answer
