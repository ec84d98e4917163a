"""The vectors of the sentences that a worker serves, shard by shard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from keymiss.keys import DocumentKeys
from keymiss.search.native.native_vectors import Floats32, VectorStore
from keymiss.values.vectors_value import SentenceVectors

Encode = Callable[[Sequence[str]], Floats32]
"""Gives the vectors of questions, float32 of shape (questions, width)."""


@dataclass(frozen=True, slots=True)
class VectorPlace:
    """Where a vector stands: the document, the stamp of what its vectors are made from, and the row
    of the sentence among the document's sentences."""

    keys: DocumentKeys
    stamp: bytes
    row: int


@dataclass(frozen=True, slots=True)
class _Held:
    number: int
    stamp: bytes
    sentences: int


class VectorIndex:
    """The vectors of a shard's sentences. Several threads may use it."""

    def __init__(self, width: int) -> None:
        self._store = VectorStore(width)
        self._lock = threading.Lock()
        self._held: dict[DocumentKeys, _Held] = {}
        self._keys: dict[int, DocumentKeys] = {}
        self._sentences = 0

    def put(self, keys: DocumentKeys, stamp: bytes, vectors: SentenceVectors) -> None:
        """Adds a document's vectors or replaces them.

        Raises:
            MemoryError: there is no room; the document has no vectors then.
        """
        with self._lock:
            self._drop(keys)
            number = self._store.put(vectors.codes, vectors.scales)
            self._held[keys] = _Held(number, stamp, len(vectors.scales))
            self._keys[number] = keys
            self._sentences += len(vectors.scales)

    def remove(self, keys: DocumentKeys) -> None:
        """Removes a document's vectors, if there are any."""
        with self._lock:
            self._drop(keys)

    def _drop(self, keys: DocumentKeys) -> None:
        held = self._held.pop(keys, None)
        if held:
            self._store.drop(held.number)
            del self._keys[held.number]
            self._sentences -= held.sentences

    def known(self) -> list[DocumentKeys]:
        """The documents that have vectors here."""
        with self._lock:
            return list(self._held)

    def size(self) -> tuple[int, int]:
        """How many documents have vectors, and how many sentences."""
        with self._lock:
            return len(self._held), self._sentences

    def stamp(self, keys: DocumentKeys) -> bytes | None:
        """What a document's vectors are made from; None when it has none."""
        held = self._held.get(keys)
        return held.stamp if held else None

    def nearest(self, vector: Floats32, limit: int) -> list[tuple[VectorPlace, float]]:
        """The nearest sentences with their cosines, the nearest first."""
        with self._lock:
            places, cosines = self._store.nearest(vector, limit)
            keys = [self._keys[number] for number in places[:, 0].tolist()]
            stamps = [self._held[each].stamp for each in keys]
        rows = places[:, 1].tolist()
        found = map(VectorPlace, keys, stamps, rows)
        return list(zip(found, cosines.tolist(), strict=True))

    def cosines(self, vector: Floats32, wanted: Sequence[VectorPlace]) -> Floats32:
        """The cosine of each of these sentences, float32 of shape (sentences,); NaN where there is
        no vector of this text."""
        with self._lock:
            numbers = [self._number(each) for each in wanted]
            places = np.array(
                list(zip(numbers, (each.row for each in wanted), strict=True)), np.int32
            ).reshape(-1, 2)
            return self._store.cosines(vector, places)

    def _number(self, place: VectorPlace) -> int:
        held = self._held.get(place.keys)
        return held.number if held and held.stamp == place.stamp else -1


@dataclass(frozen=True, slots=True)
class NearSentences:
    """A question's vector, float32 of shape (width,), the vectors of a shard, and the nearest of
    them with their cosines, the nearest first."""

    vector: Floats32
    index: VectorIndex
    nearest: Sequence[tuple[VectorPlace, float]]


class VectorIndexes:
    """The vectors of all shards that a worker serves, and what encodes questions for them."""

    def __init__(self, encode: Encode, width: int) -> None:
        self.encode = encode
        self.width = width
        self._shards: dict[str, VectorIndex] = {}
        self._thread = ThreadPoolExecutor(1, "keymiss-vectors")

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
        wanted = [each for each in asked if self.of_shard(each[1]).size()[0]]
        found: dict[tuple[str, str], Future[NearSentences]] = {each: Future() for each in wanted}
        if found:
            self._thread.submit(self._search, found, limit)
        return found

    def _search(self, found: dict[tuple[str, str], Future[NearSentences]], limit: int) -> None:
        try:
            questions = list(dict.fromkeys(question for question, _ in found))
            vectors = dict(zip(questions, self.encode(questions), strict=True))
            for (question, shard), result in found.items():
                index, vector = self.of_shard(shard), vectors[question]
                nearest = index.nearest(vector, limit)
                result.set_result(NearSentences(vector, index, nearest))
        except Exception as error:
            for result in found.values():
                if not result.done():
                    result.set_exception(error)
