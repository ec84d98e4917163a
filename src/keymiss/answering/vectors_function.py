"""The functions `vectors`, which makes sentences' vectors when they are written, and `vectorindex`,
which keeps them in memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from valkey.exceptions import ResponseError

from keymiss.answering.derived_keys import delete_of_others, documents_of
from keymiss.answering.metrics import VECTOR_DOCUMENTS, VECTOR_SENTENCES
from keymiss.answering.vector_memory import memory_is_short
from keymiss.corpus.document_reads import read_stored
from keymiss.function_names import FunctionName
from keymiss.functions import Event, Function, Shard, keys_by_shard, on_write
from keymiss.keys import (
    DOCUMENTS,
    SENTENCE_COUNT,
    TEXT_HASH,
    TITLE,
    VECTORS,
    DocumentKeys,
    decode_text,
    encode,
    parse_vectors_key,
)
from keymiss.reader import Encoder
from keymiss.search.native.native_vectors import Floats32
from keymiss.search.vector_index import VectorIndex, VectorIndexes
from keymiss.server.topology import is_elsewhere, raise_unless_elsewhere
from keymiss.server.transactions import Command
from keymiss.values.vectors_value import (
    HEADER_BYTES,
    belongs_to,
    rounded_vectors,
    vectors_from_bytes,
    vectors_stamp,
    vectors_to_bytes,
)

logger = logging.getLogger(__name__)

MADE_AT_ONCE = 128
"""How many vectors are made at once."""

QUIET_SECONDS = 0.15
"""How long no question must have come, so that vectors are made."""

PATIENCE = 8.0
"""How long this is waited for, at most, beside the time that the last ones took to make."""

MAKING_LEASE = "10m"
"""How long another worker waits before it makes the vectors of these documents itself: they are
made only while no questions are computed."""


class Pace:
    """Makes vectors between questions.

    The threads that make them yield to all others of this process, but the system may count those
    of other processes, of the web server for example, as no more urgent.
    """

    def __init__(self, vectors: VectorIndexes) -> None:
        self._vectors = vectors
        self._spent = 0.0

    async def wait(self) -> None:
        """Waits while questions come, but not for ever."""
        end = time.monotonic() + PATIENCE * self._spent
        while True:
            wait = min(self._vectors.asked_at + QUIET_SECONDS, end) - time.monotonic()
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Notes how long the block takes."""
        began = time.monotonic()
        yield
        self._spent = time.monotonic() - began


def making_function(encoder: Encoder, vectors: VectorIndexes) -> Function:
    """The function that keeps `keymiss:vectors:` keys in step with the documents."""
    pace = Pace(vectors)

    # Facts are written last, in the transaction that writes the sentences, and titles with them.
    @on_write(
        DOCUMENTS,
        name=FunctionName.VECTORS,
        batch=16,
        lease=MAKING_LEASE,
        derived=VECTORS,
        version=encoder.fingerprint,
    )
    async def make(events: Sequence[Event]) -> None:
        for shard, keys in keys_by_shard(events).items():
            await update_vectors(encoder, pace, shard, keys)

    return make


def keeping_function(encoder: Encoder, vectors: VectorIndexes) -> Function:
    """The function that keeps the vectors of `keymiss:vectors:` keys in memory."""

    def known(shard: Shard) -> list[str]:
        return [each.vectors(encoder.fingerprint) for each in vectors.of_shard(shard.id).known()]

    @on_write(VECTORS, name=FunctionName.VECTOR_INDEX, each=True, known=known, batch=16)
    async def keep(events: Sequence[Event]) -> None:
        for shard, keys in keys_by_shard(events).items():
            await update_vector_index(encoder, vectors, shard, keys)

    return keep


async def update_vectors(encoder: Encoder, pace: Pace, shard: Shard, keys: Sequence[str]) -> None:
    """Makes the vectors of these documents agree with their texts and titles.

    `keys` are keys of facts or of vectors. Vectors of another encoder, or of a document that does
    not exist, are deleted.
    """
    await delete_of_others(shard, keys, parse_vectors_key, encoder.fingerprint, b"string")
    documents = documents_of(keys, parse_vectors_key)
    await make_vectors(encoder, pace, shard, await _stale(encoder, shard, documents))


async def make_vectors(
    encoder: Encoder, pace: Pace, shard: Shard, documents: Sequence[DocumentKeys]
) -> None:
    """Makes the vectors of these documents, and deletes those of documents that are gone."""
    read = await read_stored(shard, documents)
    texts = [(one, text) for one, text in zip(documents, read, strict=True) if text]
    made = await _vectors(
        encoder,
        pace,
        [each for _, text in texts for each in encoded_texts(text.title, text.sentences.values())],
    )
    writing: list[list[Command]] = []
    first = 0
    for document, text in texts:
        key = encode(document.vectors(encoder.fingerprint))
        some = made[first : first + len(text.sentences)]
        first += len(some)
        if text.text_hash is None or not len(some):
            writing.append([("UNLINK", key)])
            continue
        stamp = vectors_stamp(text.text_hash, text.title)
        writing.append([("SET", key, vectors_to_bytes(rounded_vectors(some), stamp))])
    for result in await shard.write(writing):
        raise_unless_elsewhere(result)


async def _vectors(encoder: Encoder, pace: Pace, texts: Sequence[str]) -> Floats32:
    """The vectors of these texts, float32 of shape (texts, width), made some at a time."""
    made = [np.empty((0, encoder.width), np.float32)]
    for first in range(0, len(texts), MADE_AT_ONCE):
        await pace.wait()
        with pace.timed():
            some = texts[first : first + MADE_AT_ONCE]
            made.append(await asyncio.to_thread(encoder.encode_yielding, some))
    return np.concatenate(made)


def encoded_texts(title: str, sentences: Iterable[str]) -> list[str]:
    """What is encoded for each sentence: the title says what it is about."""
    before = f"{title}. " if title else ""
    return [before + sentence for sentence in sentences]


async def _stale(
    encoder: Encoder, shard: Shard, documents: Sequence[DocumentKeys]
) -> list[DocumentKeys]:
    """The documents whose vectors are missing, damaged, or belong to another text. A document that
    is moving to another node is left out: it is looked at where it arrives."""
    held = [each for each in documents if shard.coverage.holds(each.facts)]
    commands: list[tuple[str | bytes | int, ...]] = []
    for document in held:
        key = encode(document.vectors(encoder.fingerprint))
        commands += [
            ("HMGET", document.facts, TEXT_HASH, TITLE, SENTENCE_COUNT),
            ("GETRANGE", key, 0, HEADER_BYTES - 1),
            ("STRLEN", key),
        ]
    replies = iter(await shard.read(commands))
    stale = []
    for document in held:
        facts, beginning, size = (next(replies) for _ in range(3))
        for reply in (facts, beginning, size):
            raise_unless_elsewhere(reply)
        if any(isinstance(reply, ResponseError) for reply in (facts, beginning, size)):
            continue
        of_text, title, count = facts
        if of_text is None:
            if size:
                stale.append(document)
        elif not belongs_to(beginning, size, of_text, decode_text(title or b""), int(count or 0)):
            if size:
                logger.info("the vectors of %r are made anew", document.document)
            stale.append(document)
    return stale


async def update_vector_index(
    encoder: Encoder, vectors: VectorIndexes, shard: Shard, keys: Sequence[str]
) -> None:
    """Makes the vectors in memory agree with these keys. Damaged ones are made anew."""
    index = vectors.of_shard(shard.id)
    parsed = dict.fromkeys(parse_vectors_key(key) for key in keys)
    documents = [one[1] for one in parsed if one and one[0] == encoder.fingerprint]
    damaged = []
    for document in documents:
        key = document.vectors(encoder.fingerprint)
        (value,) = await shard.read([("GET", encode(key))])
        if is_elsewhere(value):
            if not shard.coverage.speaks_for(key):
                index.remove(document)
        elif not isinstance(value, bytes):
            index.remove(document)
        elif not await asyncio.to_thread(_put, index, document, value, encoder.width):
            damaged.append(document)
    await make_vectors(encoder, Pace(vectors), shard, damaged)
    for gauge, size in zip((VECTOR_DOCUMENTS, VECTOR_SENTENCES), index.size(), strict=True):
        gauge.labels(shard.id).set(size)


def _put(index: VectorIndex, document: DocumentKeys, value: bytes, width: int) -> bool:
    """Keeps the vectors of a key in memory, if there is room; returns whether they are whole."""
    try:
        stamp, vectors = vectors_from_bytes(value, width)
    except ValueError as error:
        logger.warning("the vectors of %r are made anew: %s", document.document, error)
        index.remove(document)
        return False
    if index.stamp(document) == stamp:
        return True
    try:
        if memory_is_short():
            raise MemoryError
        index.put(document, stamp, vectors)
    except MemoryError:
        index.remove(document)
        logger.warning("memory is short: %r is found by its words only", document.document)
    return True
