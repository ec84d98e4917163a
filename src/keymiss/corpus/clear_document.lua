-- Deletes the old sentences and facts of a document. A key of another type belongs to another
-- program: it stays, and makes the transaction fail.
--
-- KEYS: sentences, facts
for _, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok == 'hash' then redis.call('UNLINK', key) end
end
