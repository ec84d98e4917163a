-- Writes facts if the stored text is still the one that they were compared with.
--
-- KEYS: facts
-- ARGV: field of the text's hash, the hash, field of the source's key, then fields and values
local facts, field, hash, key = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', facts, field) ~= hash then return 0 end
redis.call('HDEL', facts, key)
redis.call('HSET', facts, unpack(ARGV, 4))
return 1
