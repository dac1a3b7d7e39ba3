-- KEYS: 1 commits of this process, 2 sessions by when they were last seen.
-- A server that is full refuses a script whose first write may need memory, and this needs next to none.
redis.call('EXPIRE', KEYS[1], 172800)
local commits = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], 172800)
return {commits, redis.call('ZCARD', KEYS[2]), redis.REDIS_VERSION_NUM or 0}
