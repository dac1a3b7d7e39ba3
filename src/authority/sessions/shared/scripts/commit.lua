-- Writes some sessions of a shard, all or none.
--
-- KEYS: 1 number of the writer's last commit, 2 commits of this process, 3 sessions by when they were
-- last seen, 4 subjects by the same, 5 those sessions that are tokens; then for each change: the session, the
-- sessions of its subject.
-- ARGV: 1 number of this commit, 2 seconds for which what is in 3 to 5 is kept; then for each change 8:
-- id, stamp that is expected, value, seconds for which it is kept, score, subject, score among its sessions,
-- score among tokens, or 'gone' from these, or nothing.
local count = (#KEYS - 5) / 2
local drops_only = true
for i = 1, count do
  drops_only = drops_only and ARGV[8 * i - 3] == ''
end
if drops_only then
  -- A server that is full refuses a script whose first write may need memory, and this gives some back.
  redis.call('EXPIRE', KEYS[2], 172800)
end
local commits = redis.call('INCR', KEYS[2])
redis.call('EXPIRE', KEYS[2], 172800)
local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then
  return {commits, redis.call('ZCARD', KEYS[3]), 'repeated'}
end
for i = 1, count do
  if redis.call('GETRANGE', KEYS[2 * i + 4], 0, 7) ~= ARGV[8 * i - 4] then
    return {commits, redis.call('ZCARD', KEYS[3]), 'stale'}
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
local answer = {0, 0, 'done'}
for i = 1, count do
  local session, siblings = KEYS[2 * i + 4], KEYS[2 * i + 5]
  local at = 8 * i - 5
  local id, value, kept, score = ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local subject, place, among_tokens = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  if value == '' then
    redis.call('DEL', session)
    redis.call('ZREM', KEYS[3], id)
  else
    redis.call('SET', session, value, 'EX', kept)
    redis.call('ZADD', KEYS[3], score, id)
  end
  if among_tokens == 'gone' then
    redis.call('ZREM', KEYS[5], id)
  elseif among_tokens ~= '' then
    redis.call('ZADD', KEYS[5], among_tokens, id)
  end
  local of_subject = 0
  if subject ~= '' then
    if place == '' then
      redis.call('ZREM', siblings, id)
    else
      redis.call('ZADD', siblings, place, id)
      if redis.call('TTL', siblings) < tonumber(kept) then
        redis.call('EXPIRE', siblings, kept)
      end
    end
    local newest = redis.call('ZRANGE', siblings, 0, 0, 'REV', 'WITHSCORES')
    if newest[2] and tonumber(newest[2]) >= 0 then
      redis.call('ZADD', KEYS[4], newest[2], subject)
    else
      redis.call('ZREM', KEYS[4], subject)
    end
    of_subject = redis.call('ZCARD', siblings)
  end
  answer[i + 3] = of_subject
end
redis.call('EXPIRE', KEYS[3], ARGV[2])
redis.call('EXPIRE', KEYS[4], ARGV[2])
redis.call('EXPIRE', KEYS[5], ARGV[2])
answer[1] = commits
answer[2] = redis.call('ZCARD', KEYS[3])
return answer
