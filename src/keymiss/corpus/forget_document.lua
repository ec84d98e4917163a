-- Deletes a document's facts and sentences, and removes the document from its bucket. A key of a
-- type that keymiss does not write there belongs to another program, and stays.
--
-- KEYS: facts, sentences, bucket
-- ARGV: the escaped id of the document
local types = {'hash', 'hash', 'set'}
for place, key in ipairs(KEYS) do
  local type = redis.call('TYPE', key).ok
  if type ~= types[place] and type ~= 'none' then types[place] = '' end
end
local there = 0
for place = 1, 2 do
  if types[place] ~= '' then there = there + redis.call('UNLINK', KEYS[place]) end
end
if types[3] ~= '' then redis.call('SREM', KEYS[3], ARGV[1]) end
return there
