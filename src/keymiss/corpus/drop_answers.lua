-- Drops the computed answers that depend on a document, as part of the document's transaction.
--
-- A worker notes a key in `keymiss:answers:DOC` before it reads the text. So when the text changes,
-- every key that was computed from the old text has been noted, even one that a worker is still
-- computing. A note that comes later belongs to the new text. The script runs between MULTI and
-- EXEC, so that a crash cannot happen between the change of the text and the drop.
--
-- KEYS: answers
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then return end
local noted = redis.call('ZRANGE', KEYS[1], 0, -1)
for first = 1, #noted, 1000 do
  redis.call('KEYMISS.DROP', unpack(noted, first, math.min(first + 999, #noted)))
end
redis.call('DEL', KEYS[1])
