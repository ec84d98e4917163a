-- Notes a key with its document, and reads what the key asks about, in one turn of the server: a
-- note must be there before the text is read, and must not outlive the text. When a document has
-- too many answers, the oldest ones are dropped.
--
-- KEYS: sentences, facts, tokens, answers
-- ARGV: sentence number, key, present time, time when the note ends, most notes of a document, the
--       field of the text's hash, then the numbers of the sentences that are read
local sentences, facts, tokens, answers = unpack(KEYS)
local number, name, now, expires, most, hash = unpack(ARGV, 1, 6)
-- A stranger may ask for sentences that do not exist: their keys leave no note.
if redis.call('HEXISTS', sentences, number) == 0 then return {} end

local noted = redis.pcall('ZADD', answers, expires, name)
if type(noted) == 'number' then
  noted = 1
  redis.call('ZREMRANGEBYSCORE', answers, '-inf', now)
  local last = redis.call('ZCARD', answers) - most - 1
  if last >= 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', answers, 0, last)) do
      redis.call('KEYMISS.DROP', oldest)
    end
    redis.call('ZREMRANGEBYRANK', answers, 0, last)
  end
elseif string.find(noted.err, 'OOM', 1, true) then
  -- Without a note the answer could not be dropped later, so it must not be stored.
  redis.call('KEYMISS.DROP', name)
  noted = 0
else
  return noted
end
return {
  noted,
  redis.call('HMGET', sentences, unpack(ARGV, 7)),
  redis.call('HGET', facts, hash),
  redis.call('HMGET', tokens, hash, unpack(ARGV, 7)),
}
