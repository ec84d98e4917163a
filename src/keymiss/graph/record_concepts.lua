-- Replaces the record of a document, if its text is still the one that was matched.
--
-- Nothing comes between the commands of a script: two workers may walk the same document. If it
-- breaks off, the record names all edges that may be there, and lacks its stamp, so that it is made
-- again. When only the year has changed, only the year is written. An edge's key of another type
-- belongs to another program and is left alone.
--
-- KEYS: facts, record
-- ARGV: hash of the text (empty when there is none), stamp, prefix and suffix of edges, the
--       sentences' prefix, the names of three fields, then numbers of sentences and their mentions
local facts, record = KEYS[1], KEYS[2]
local hash, stamp, edges, suffix, name, TEXT_HASH, STAMP, YEAR = unpack(ARGV, 1, 8)
if (redis.call('HGET', facts, TEXT_HASH) or '') ~= hash then return 0 end
local year = redis.call('HGET', facts, YEAR) or ''
if stamp ~= '' and redis.call('HGET', record, STAMP) == stamp then
  redis.call('HSET', record, YEAR, year)
  return 1
end

local function each_edge(number, mentions, act)
  local counts, ids = {}, {}
  for _, mention in ipairs(cjson.decode(mentions)) do
    local id = mention[1]
    if not counts[id] then counts[id] = 0; ids[#ids + 1] = id end
    counts[id] = counts[id] + 1
  end
  table.sort(ids)
  for first = 1, #ids do
    for second = first + 1, #ids do
      local key = edges .. ids[first] .. ':' .. ids[second] .. suffix
      act(key, name .. number, counts[ids[first]] + counts[ids[second]])
    end
  end
end

-- This write comes first: when memory is short, only the first write of a script is refused.
if hash ~= '' then redis.call('HSET', record, YEAR, year) end
local old = redis.call('HGETALL', record)
for at = 1, #old, 2 do
  if string.find(old[at], '^%d+$') then
    each_edge(old[at], old[at + 1], function(key, member) redis.pcall('ZREM', key, member) end)
  end
end
redis.call('UNLINK', record)
if hash == '' then return 1 end
redis.call('HSET', record, YEAR, year)
for at = 9, #ARGV, 2 do redis.call('HSET', record, ARGV[at], ARGV[at + 1]) end
for at = 9, #ARGV, 2 do
  each_edge(ARGV[at], ARGV[at + 1], function(key, member, score)
    redis.pcall('ZADD', key, score, member)
  end)
end
redis.call('HSET', record, STAMP, stamp)
return 1
