-- KEYS: 1 the session, 2 who ends it. ARGV: 1 stamp that is expected, 2 who wants to, 3 for how many seconds.
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then
  return 'stale'
end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'EX', ARGV[3]) or redis.call('GET', KEYS[2]) == ARGV[2] then
  return 'claimed'
end
return 'taken'
