"""The functions `find`, `findhere` and `index`, which search shards and keep their indexes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from keymiss.corpus.document_reads import StoredText, read_stored
from keymiss.errors import BadInput
from keymiss.function_names import FunctionName
from keymiss.functions import Event, Function, Shard, keys_by_shard, on_miss, on_write
from keymiss.functions.function import Result
from keymiss.keys import (
    DOCUMENTS,
    FIND,
    FIND_FORM,
    FIND_HERE,
    FIND_HERE_FORM,
    TEXT_HASH,
    TITLE,
    DocumentKeys,
    decode,
    decode_text,
    parse_document_key,
    parse_shard_key,
)
from keymiss.search.index_folder import claim_folder
from keymiss.search.metrics import INDEX_DOCUMENTS, INDEX_SENTENCES
from keymiss.search.question import check_question
from keymiss.search.ranking import BY_VECTORS, BY_WORDS, CANDIDATES, together
from keymiss.search.sentence_index import SentenceIndex
from keymiss.search.vector_index import NearSentences, VectorIndexes
from keymiss.values.find_value import (
    ShardCandidates,
    host_candidates_to_json,
    shard_candidates_to_json,
)

FEW, FEW_SENTENCES = 8, 100_000
"""How many searches the event loop does itself, and in how many sentences, at most."""


def search_functions(
    cache: Path | None = None, passage_ms: float = 0.0, vectors: VectorIndexes | None = None
) -> list[Function]:
    """The functions that keep an index of each shard and search it.

    Args:
        cache: the folder where indexes are kept between runs; None keeps them in memory.
        passage_ms: how long the worker's reader takes for a passage; 0 when it has none.
        vectors: the vectors of the sentences, which others keep; None when there are none.
    """
    indexes: dict[str, SentenceIndex] = {}
    shards: dict[str, Shard] = {}

    def index_of(shard: Shard) -> SentenceIndex:
        shards[shard.id] = shard
        if shard.id not in indexes:
            indexes[shard.id] = SentenceIndex(claim_folder(cache, shard.id) if cache else None)
        return indexes[shard.id]

    def known(shard: Shard) -> list[str]:
        return [keys.facts for keys in index_of(shard).known()]

    # Facts are written last, in the transaction that writes the sentences.
    @on_write(DOCUMENTS, name=FunctionName.INDEX, each=True, known=known)
    async def index(events: Sequence[Event]) -> None:
        for shard, keys in keys_by_shard(events).items():
            await update_index(index_of(shard), shard, keys)

    def here(shard: Shard) -> list[Shard]:
        """The shard, and those of its host that are followed: a lost one may have changed."""
        others = [each for each in shards.values() if each.host == shard.host]
        followed = [each for each in others if each.coverage.is_followed_by(FunctionName.INDEX)]
        return [shard, *(each for each in followed if each.id != shard.id)]

    async def search(
        asked: Sequence[tuple[str, Sequence[Shard]]],
    ) -> list[list[ShardCandidates] | BadInput]:
        """What is found for each key on its shards."""
        placed = [(key, [(shard, index_of(shard)) for shard in some]) for key, some in asked]
        sizes = [index.size()[1] for _, places in placed for _, index in places]

        def search_all() -> list[list[ShardCandidates] | BadInput]:
            questions = [_question_of(key) for key, _ in placed]
            asked = [
                (question, shard.id)
                for question, (_, places) in zip(questions, placed, strict=True)
                if isinstance(question, str)
                for shard, _ in places
            ]
            near = vectors.search(asked, BY_VECTORS) if vectors else {}
            return [
                question
                if isinstance(question, BadInput)
                else [
                    _on_shard(question, shard, index, passage_ms, near.get((question, shard.id)))
                    for shard, index in places
                ]
                for question, (_, places) in zip(questions, placed, strict=True)
            ]

        # Switching to a thread and back takes half as long as a search in this few sentences. All
        # of these searches together take 4 ms.
        if len(sizes) <= FEW and sum(sizes) <= FEW_SENTENCES:
            return search_all()
        return await asyncio.to_thread(search_all)

    @on_miss(FIND, name=FunctionName.FIND, form=FIND_FORM, cache="off", batch=64)
    async def find(events: Sequence[Event]) -> list[Result]:
        found = await search([(event.key, [event.shard]) for event in events])
        return [
            one if isinstance(one, BadInput) else shard_candidates_to_json(one[0]) for one in found
        ]

    @on_miss(FIND_HERE, name=FunctionName.FIND_HERE, form=FIND_HERE_FORM, cache="off", batch=64)
    async def find_here(events: Sequence[Event]) -> list[Result]:
        found = await search([(event.key, here(event.shard)) for event in events])
        return [
            one if isinstance(one, BadInput) else host_candidates_to_json(together(one))
            for one in found
        ]

    return [index, find, find_here]


def _question_of(key: str) -> str | BadInput:
    try:
        question = parse_shard_key(key)
        check_question(question)
    except BadInput as error:
        return error
    return question


def _on_shard(
    question: str,
    shard: Shard,
    index: SentenceIndex,
    passage_ms: float,
    near: Future[NearSentences] | None,
) -> ShardCandidates:
    before = shard.coverage.state
    candidates = index.find(question, BY_WORDS if near else CANDIDATES, near)
    # This may run in a thread: slots that came or went meanwhile may not have been searched.
    after = shard.coverage.state
    slots, settled = before.spoken & after.spoken, before.settled and after.settled
    return ShardCandidates(candidates, slots, after.held, settled, passage_ms)


async def update_index(index: SentenceIndex, shard: Shard, keys: Sequence[str]) -> None:
    """Makes the index agree with what the shard holds of these documents.

    A document on its way to another server stays in the index until the shard lets go of its slot.
    One on its way to this server is put in when the server holds its slot.
    """
    parsed = (parse_document_key(key) for key in keys)
    documents = [
        document
        for document in dict.fromkeys(parsed)
        if document and (shard.coverage.holds(document.facts) or index.held(document))
    ]
    facts = await shard.read([("HMGET", each.facts, TEXT_HASH, TITLE) for each in documents])
    stale = [
        document
        for document, stored in zip(documents, facts, strict=True)
        if (named := _named(stored)) is None or index.held(document) != named
    ]
    read = await read_stored(shard, stale)
    changed = [_put(index, shard, *each) for each in zip(stale, read, strict=True)]
    if any(changed):
        await asyncio.to_thread(index.commit)
    for gauge, size in zip((INDEX_DOCUMENTS, INDEX_SENTENCES), index.size(), strict=True):
        gauge.labels(shard.id).set(size)


def _named(facts: object) -> tuple[str, str] | None:
    """The hash of a text and the title, from the fields of a document's facts."""
    if not isinstance(facts, list) or facts[0] is None:
        return None
    return decode(facts[0]), decode_text(facts[1] or b"")


def _put(index: SentenceIndex, shard: Shard, keys: DocumentKeys, text: StoredText | None) -> bool:
    """Puts a document into the index, or removes it; returns whether the index has changed."""
    if text is None:
        return not shard.coverage.speaks_for(keys.facts) and index.remove(keys)
    if text.text_hash is None:
        return index.remove(keys)
    index.put(keys, decode(text.text_hash), text.sentences, text.title)
    return True
