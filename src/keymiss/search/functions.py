"""The functions `find` and `index`: searching a shard, and keeping its index current."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from valkey.exceptions import ResponseError

from keymiss.errors import BadInput
from keymiss.functions import Event, Function, Shard, keys_by_shard, on_miss, on_write
from keymiss.functions.function import Result
from keymiss.search.cache import claim_folder
from keymiss.search.index import Candidate, Candidates, SentenceIndex
from keymiss.search.metrics import INDEX_DOCUMENTS, INDEX_SENTENCES
from keymiss.search.question import check_question
from keymiss.server.keys import (
    ARTICLES,
    FIND,
    DocumentKeys,
    decode,
    decode_text,
    parse_document_key,
    parse_shard_key,
)
from keymiss.server.topology import Slots, is_elsewhere, slot_ranges, union
from keymiss.server.transactions import Executed

FORMAT = 3
FEW, FEW_SENTENCES = 4, 100_000
"""Searches, and the sentences that they look through, which the event loop itself does."""

CANDIDATES = 20
"""Two for each sentence that is read: what is best over all shards is among them."""


def search_functions(cache: Path | None = None) -> list[Function]:
    """The functions that keep an index of each shard and search it.

    Args:
        cache: the folder where indexes are kept between runs; they stay in memory when None.
    """
    indexes: dict[str, SentenceIndex] = {}

    def index_of(shard: Shard) -> SentenceIndex:
        if shard.id not in indexes:
            indexes[shard.id] = SentenceIndex(claim_folder(cache, shard.id) if cache else None)
        return indexes[shard.id]

    def known(shard: Shard) -> list[str]:
        return [keys.article for keys in index_of(shard).known()]

    # An article's hash is written last, in the transaction that writes its sentences.
    @on_write(ARTICLES, name="index", each=True, known=known)
    async def index(events: Sequence[Event]) -> None:
        for shard, keys in keys_by_shard(events).items():
            await update_index(index_of(shard), shard, keys)

    def find_all(events: Sequence[Event]) -> list[Result]:
        return [_find(index_of(event.shard), event.shard, event.key) for event in events]

    @on_miss(FIND, name="find", cache="off", batch=64)
    async def find(events: Sequence[Event]) -> list[Result]:
        searched = sum(index_of(event.shard).size()[1] for event in events)
        # To a thread and back takes half as long as a search of so few, which are done in 4 ms.
        if len(events) <= FEW and searched <= FEW_SENTENCES:
            return find_all(events)
        return await asyncio.to_thread(find_all, events)

    return [index, find]


def _find(index: SentenceIndex, shard: Shard, key: str) -> Result:
    try:
        question = parse_shard_key(key)
        check_question(question)
        found = index.find(question, CANDIDATES)
        return candidates_to_json(found, shard.slots, shard.is_settled)
    except BadInput as error:
        return error


async def update_index(index: SentenceIndex, shard: Shard, keys: Sequence[str]) -> None:
    """Makes the index agree with what the shard holds of these documents.

    What is on its way to another server stays in the index until the shard lets go of its slot;
    what is on its way here comes in when the server holds its slot.
    """
    parsed = (parse_document_key(key) for key in keys)
    documents = [
        document
        for document in dict.fromkeys(parsed)
        if document and (shard.owns(document.article) or index.content_hash(document))
    ]
    hashes = await shard.read([("HGET", each.article, "hash") for each in documents])
    stale = [
        document
        for document, content_hash in zip(documents, hashes, strict=True)
        if not isinstance(content_hash, bytes)
        or index.content_hash(document) != decode(content_hash)
    ]
    # Each in one transaction: the hash belongs to these sentences and no others.
    read = await shard.transactions(
        [[("HGET", each.article, "hash"), ("HGETALL", each.sentences)] for each in stale]
    )
    changed = [
        _index_document(index, shard, document, result)
        for document, result in zip(stale, read, strict=True)
    ]
    if any(changed):
        await asyncio.to_thread(index.commit)
    for gauge, size in zip((INDEX_DOCUMENTS, INDEX_SENTENCES), index.size(), strict=True):
        gauge.labels(shard.id).set(size)


def _index_document(index: SentenceIndex, shard: Shard, keys: DocumentKeys, read: Executed) -> bool:
    """Whether the index has changed."""
    if is_elsewhere(read):
        return not shard.covers(keys.article) and index.remove(keys)
    if isinstance(read, ResponseError):
        raise read
    content_hash, flat = read
    if content_hash is None:
        return index.remove(keys)
    pairs = zip(map(int, flat[::2]), map(decode_text, flat[1::2]), strict=True)
    index.put(keys, decode(content_hash), dict(sorted(pairs)))
    return True


def candidates_to_json(candidates: Candidates, slots: Slots, settled: bool) -> str:
    """The value of a `find` key: candidates, the slots that they were looked for in, and whether
    the statistics are of these slots and no others."""
    # Not asdict, which copies all that it holds: most of the time a search takes.
    record = {field.name: getattr(candidates, field.name) for field in fields(Candidates)}
    record["candidates"] = [
        (each.sentence, each.length, each.frequencies) for each in candidates.candidates
    ]
    where = {"slots": slot_ranges(slots), "settled": settled}
    return json.dumps({"v": FORMAT, **where, **record})


def candidates_from_json(value: bytes) -> tuple[Candidates, Slots, bool]:
    """Reads what `candidates_to_json` made.

    Raises:
        ValueError: it is of another format.
    """
    record = json.loads(value)
    if not isinstance(record, dict) or record.pop("v", None) != FORMAT:
        raise ValueError(f"no find value of format {FORMAT}: {value[:80]!r}")
    slots, settled = union(record.pop("slots")), bool(record.pop("settled"))
    found = tuple(Candidate(*candidate) for candidate in record.pop("candidates"))
    return Candidates(**record, candidates=found), slots, settled
