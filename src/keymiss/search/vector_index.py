"""The vectors of the sentences that a worker serves, shard by shard."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from keymiss.keys import DocumentKeys
from keymiss.search.native.native_vectors import Floats32, Places, VectorStore
from keymiss.values.vectors_value import SentenceVectors

MOST_KEPT_QUESTIONS = 1000

Encode = Callable[[Sequence[str]], Floats32]
"""Gives the vectors of questions, float32 of shape (questions, width)."""


@dataclass(frozen=True, slots=True)
class NearSentences:
    """A question's vector, float32 of shape (width,), the vectors of a shard, and the nearest of
    them, the nearest first: the numbers of their documents in the index, and their rows among the
    documents' sentences, int32 of shape (sentences, 2). `documents` are the keys of these
    documents, each with the stamp of what its vectors are made from, by number."""

    vector: Floats32
    index: VectorIndex
    places: Places
    documents: dict[int, tuple[DocumentKeys, bytes]]


@dataclass(frozen=True, slots=True)
class _Held:
    number: int
    stamp: bytes


class VectorIndex:
    """The vectors of a shard's sentences. Several threads may use it."""

    def __init__(self, width: int) -> None:
        self._store = VectorStore(width)
        self._lock = threading.Lock()
        self._held: dict[DocumentKeys, _Held] = {}
        self._keys: dict[int, DocumentKeys] = {}

    def put(self, keys: DocumentKeys, stamp: bytes, vectors: SentenceVectors) -> None:
        """Adds a document's vectors or replaces them.

        Raises:
            MemoryError: there is no room; the document has no vectors then.
        """
        with self._lock:
            self._drop(keys)
            number = self._store.put(vectors.codes, vectors.scales)
            self._held[keys] = _Held(number, stamp)
            self._keys[number] = keys

    def remove(self, keys: DocumentKeys) -> None:
        """Removes a document's vectors, if there are any."""
        with self._lock:
            self._drop(keys)

    def _drop(self, keys: DocumentKeys) -> None:
        held = self._held.pop(keys, None)
        if held:
            self._store.drop(held.number)
            del self._keys[held.number]

    def known(self) -> list[DocumentKeys]:
        """The documents that have vectors here."""
        with self._lock:
            return list(self._held)

    def size(self) -> tuple[int, int]:
        """How many documents have vectors, and how many sentences."""
        with self._lock:
            return len(self._held), self._store.count

    def stamp(self, keys: DocumentKeys) -> bytes | None:
        """What a document's vectors are made from; None when it has none."""
        held = self._held.get(keys)
        return held.stamp if held else None

    def nearest(self, vector: Floats32, limit: int) -> NearSentences:
        """The sentences that are nearest to a question's vector."""
        with self._lock:
            places, _ = self._store.nearest(vector, limit)
            numbers = dict.fromkeys(places[:, 0].tolist())
            keys = {number: self._keys[number] for number in numbers}
            documents = {one: (each, self._held[each].stamp) for one, each in keys.items()}
        return NearSentences(vector, self, places, documents)

    def numbers(self, documents: Iterable[tuple[DocumentKeys, bytes]]) -> list[int]:
        """The number of each document, if it has vectors that are made from this; else -1."""
        with self._lock:
            held = [(self._held.get(keys), stamp) for keys, stamp in documents]
        return [one.number if one and one.stamp == stamp else -1 for one, stamp in held]

    def cosines(self, vector: Floats32, places: Places) -> Floats32:
        """The cosine of a vector with each sentence, named by its document's number and its row,
        int32 of shape (sentences, 2): float32 of shape (sentences,), NaN where there is none."""
        with self._lock:
            return self._store.cosines(vector, places)


class VectorIndexes:
    """The vectors of all shards that a worker serves, and what encodes questions for them."""

    def __init__(self, encode: Encode, width: int) -> None:
        self.encode = encode
        self.width = width
        self._shards: dict[str, VectorIndex] = {}
        self._thread = ThreadPoolExecutor(1, "keymiss-vectors")
        self.asked_at = 0.0
        """When the last question came, by the monotonic clock."""
        self._asked: dict[str, Floats32] = {}
        """The vectors of the last questions: each shard is asked, and many are asked again."""

    def of_shard(self, shard: str) -> VectorIndex:
        """The vectors of the shard with this id."""
        if shard not in self._shards:
            self._shards[shard] = VectorIndex(self.width)
        return self._shards[shard]

    def search(
        self, asked: Sequence[tuple[str, str]], limit: int
    ) -> dict[tuple[str, str], Future[NearSentences]]:
        """Starts to look for the nearest sentences of each question in a shard, given by its id.

        A thread does it, which needs Python's lock for moments only: whoever asks may search by
        words meanwhile. Shards without vectors are left out.
        """
        self.asked_at = time.monotonic()
        wanted = [each for each in asked if self.of_shard(each[1]).size()[0]]
        found: dict[tuple[str, str], Future[NearSentences]] = {each: Future() for each in wanted}
        if found:
            self._thread.submit(self._search, found, limit)
            time.sleep(0)  # lets the thread begin, which then computes without Python's lock
        return found

    def _search(self, found: dict[tuple[str, str], Future[NearSentences]], limit: int) -> None:
        try:
            self._encode({question for question, _ in found} - self._asked.keys())
            for (question, shard), result in found.items():
                result.set_result(self.of_shard(shard).nearest(self._asked[question], limit))
        except Exception as error:
            for result in found.values():
                if not result.done():
                    result.set_exception(error)
        while len(self._asked) > MOST_KEPT_QUESTIONS:
            del self._asked[next(iter(self._asked))]

    def _encode(self, questions: Collection[str]) -> None:
        if questions:
            vectors = self.encode(list(questions))
            self._asked |= dict(zip(questions, vectors, strict=True))
