"""A shard's concepts in memory: which sentences name one, and which others these sentences name.

Edges are not kept but counted when they are asked for, with numpy over flat arrays. These need ten
bytes for each concept of a sentence, where a table of edges would need hundreds for each pair.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keymiss.keys import DocumentKeys

Rows = npt.NDArray[np.int64]
Years = dict[int, int]
"""The number of sentences by year; the year is 0 for documents without one."""

DIGITS = 6
"""To how many digits sums of rarities are rounded. The order of sentences must not depend on the
order in which rarities are added."""

SPARE = 20
"""How many sentences are looked at for each one that is wanted."""

FEWEST_DEAD = 10_000
"""How many sentences of removed documents may stay before a rebuild is worth its time."""


@dataclass(frozen=True, slots=True)
class NamedIn:
    """A sentence that names concepts that were asked for."""

    keys: DocumentKeys
    number: int
    concepts: tuple[int, ...]
    """The asked concepts that it names, in the order in which they were asked for."""
    mentions: int
    """How often it names them, all together."""

    @property
    def name(self) -> str:
        """The sentence's name, `DOC:{TAG}:N`."""
        return self.keys.sentence(self.number)


@dataclass(frozen=True, slots=True)
class _Document:
    keys: DocumentKeys
    stamp: str
    sentences: range


class Postings:
    """Sentences by concept; concepts are numbers. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        # These have one entry for each concept of a sentence, grouped by sentence.
        self._concepts = array("i")
        self._mentions = array("B")
        # These have one entry for each sentence.
        self._starts = array("q", [0])
        self._numbers = array("i")
        self._document_of = array("i")
        # These have one entry for each document, and keep those of removed ones until a rebuild.
        self._documents: list[_Document | None] = []
        self._living = array("B")
        self._years = array("i")
        self._by_concept: dict[int, array[int]] = {}
        self._mentions_of: dict[int, array[int]] = {}
        """How often each of the sentences in `_by_concept` names the concept."""
        self._places: dict[DocumentKeys, int] = {}
        self._frequencies: Counter[int] = Counter()
        self._dead = 0

    def stamp(self, keys: DocumentKeys) -> str | None:
        """The stamp that a document was put with; None when the document is not held."""
        place = self._places.get(keys)
        document = None if place is None else self._documents[place]
        return document.stamp if document else None

    def known(self) -> list[DocumentKeys]:
        """All documents."""
        with self._lock:
            return list(self._places)

    def size(self) -> tuple[int, int, int]:
        """The numbers of documents, of sentences that name a concept, and of concepts in these."""
        with self._lock:
            sentences = len(self._numbers) - self._dead
            return len(self._places), sentences, self._frequencies.total()

    def put(
        self, keys: DocumentKeys, stamp: str, year: int, sentences: Mapping[int, Mapping[int, int]]
    ) -> None:
        """Adds a document or replaces it.

        Args:
            stamp: distinguishes this content from others.
            sentences: sentence number -> concept -> how often the sentence names it.
        """
        with self._lock:
            self._remove(keys)
            self._add(keys, stamp, year, sentences)

    def _add(
        self, keys: DocumentKeys, stamp: str, year: int, sentences: Mapping[int, Mapping[int, int]]
    ) -> None:
        place, first = len(self._documents), len(self._numbers)
        for number, counts in sorted(sentences.items()):
            for concept, count in counts.items():
                self._by_concept.setdefault(concept, array("i")).append(len(self._numbers))
                self._mentions_of.setdefault(concept, array("B")).append(min(count, 255))
                self._frequencies[concept] += 1
                self._concepts.append(concept)
                self._mentions.append(min(count, 255))
            self._starts.append(len(self._concepts))
            self._numbers.append(number)
            self._document_of.append(place)
        self._documents.append(_Document(keys, stamp, range(first, len(self._numbers))))
        self._living.append(1)
        self._years.append(year)
        self._places[keys] = place

    def remove(self, keys: DocumentKeys) -> bool:
        """Removes a document; returns whether it was there."""
        with self._lock:
            return self._remove(keys)

    def _remove(self, keys: DocumentKeys) -> bool:
        place = self._places.pop(keys, None)
        if place is None:
            return False
        document = self._documents[place]
        assert document is not None
        self._documents[place] = None
        self._living[place] = 0
        for row in document.sentences:
            self._frequencies.subtract(self._concepts[self._starts[row] : self._starts[row + 1]])
        self._dead += len(document.sentences)
        if self._dead > max(FEWEST_DEAD, len(self._numbers) // 2):
            self._rebuild()
        return True

    def _rebuild(self) -> None:
        living = [
            (document, self._years[place], self._counts(document))
            for place, document in enumerate(self._documents)
            if document is not None
        ]
        self._clear()
        for document, year, sentences in living:
            self._add(document.keys, document.stamp, year, sentences)

    def _counts(self, document: _Document) -> dict[int, dict[int, int]]:
        return {
            self._numbers[row]: {
                self._concepts[at]: self._mentions[at]
                for at in range(self._starts[row], self._starts[row + 1])
            }
            for row in document.sentences
        }

    def frequency(self, concept: int) -> int:
        """In how many sentences the concept is named."""
        return self._frequencies[concept]

    def neighbours(self, concept: int, most: int) -> dict[int, Years]:
        """The concepts in the same sentences, each with the number of these sentences by year.
        At most `most` concepts are given; those in the most sentences come first."""
        with self._lock:
            rows = self._rows(concept)
            at, lengths = self._places_of_mentions(rows)
            others = _view(self._concepts, np.int32)[at].astype(np.int64)
            years = np.repeat(self._years_of(rows), lengths)
        other = others != concept
        others, years = others[other], years[other]
        named, counts = np.unique(others, return_counts=True)
        strongest = named[np.lexsort((named, -counts))[:most]]
        kept = np.isin(others, strongest)
        pairs, counts = np.unique(np.stack([others[kept], years[kept]]), axis=1, return_counts=True)
        found: dict[int, Years] = {int(one): {} for one in strongest}
        for one, year, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            found[one][year] = count
        return found

    def of_edge(
        self, source: int, target: int, most: int
    ) -> tuple[Years, list[tuple[NamedIn, int]]]:
        """How many sentences name both concepts, by year; and the sentences that name them most
        often, each with its document's year, `most` of them at most."""
        with self._lock:
            (one, first), (other, second) = (
                self._rows_and_mentions(source),
                self._rows_and_mentions(target),
            )
            rows, at, of = np.intersect1d(one, other, assume_unique=True, return_indices=True)
            years = self._years_of(rows)
            best = np.argsort(-(first[at].astype(np.int64) + second[of]), kind="stable")[:most]
            named = [self._named(int(row), (source, target)) for row in rows[best]]
        told, counts = np.unique(years, return_counts=True)
        return (
            dict(zip(told.tolist(), counts.tolist(), strict=True)),
            list(zip(named, years[best].tolist(), strict=True)),
        )

    def naming(self, concepts: Sequence[int], most: int) -> list[NamedIn]:
        """The sentences that name some of these concepts, `most` of them at most. Those whose
        concepts are rarest, taken together, come first; then those that name them most often."""
        with self._lock:
            each = [self._rows_and_mentions(concept) for concept in concepts]
            lengths = [len(rows) for rows, _ in each]
            rarities = np.repeat(rarity(lengths, sum(lengths)), lengths)
            mentions = np.concatenate([*(counts for _, counts in each), _NO_ROWS])
            all_rows = np.concatenate([*(rows for rows, _ in each), _NO_ROWS])
            rows, places = np.unique(all_rows, return_inverse=True)
            worth = np.bincount(places, rarities, len(rows)).round(DIGITS)
            times = np.bincount(places, mentions, len(rows))
            # More than are wanted, since those that are worth the same are ordered by name.
            best = np.lexsort((rows, -times, -worth))[: SPARE * most]
            named = [self._named(int(row), concepts) for row in rows[best]]
            ordered = sorted(
                zip(-worth[best], -times[best], named, strict=True),
                key=lambda found: (found[0], found[1], found[2].name),
            )
        return [one for _, _, one in ordered[:most]]

    def _rows(self, concept: int) -> Rows:
        """The sentences that name a concept, without those of removed documents."""
        return self._rows_and_mentions(concept)[0]

    def _rows_and_mentions(self, concept: int) -> tuple[Rows, Rows]:
        """The same sentences, and how often each one names the concept."""
        rows: Rows = _view(self._by_concept.get(concept, array("i")), np.int32).astype(np.int64)
        counts: Rows = _view(self._mentions_of.get(concept, array("B")), np.uint8).astype(np.int64)
        if not self._dead:
            return rows, counts
        documents = _view(self._document_of, np.int32)[rows]
        living = _view(self._living, np.uint8)[documents] > 0
        return rows[living], counts[living]

    def _places_of_mentions(self, rows: Rows) -> tuple[Rows, Rows]:
        """The places of these sentences' concepts in `_concepts`, and how many each one has."""
        starts = _view(self._starts, np.int64)
        lengths = starts[rows + 1] - starts[rows]
        ends = np.cumsum(lengths)
        total = int(ends[-1]) if len(ends) else 0
        return np.arange(total) + np.repeat(starts[rows] - ends + lengths, lengths), lengths

    def _years_of(self, rows: Rows) -> Rows:
        documents = _view(self._document_of, np.int32)[rows]
        years: Rows = _view(self._years, np.int32)[documents].astype(np.int64)
        return years

    def _named(self, row: int, concepts: Iterable[int]) -> NamedIn:
        document = self._documents[self._document_of[row]]
        assert document is not None
        counts = {
            self._concepts[at]: self._mentions[at]
            for at in range(self._starts[row], self._starts[row + 1])
        }
        named = tuple(concept for concept in concepts if concept in counts)
        return NamedIn(
            document.keys, self._numbers[row], named, sum(counts[concept] for concept in named)
        )


def rarity(frequencies: Sequence[int], total: int) -> npt.NDArray[np.float64]:
    """What each concept is worth: the fewer of `total` sentences name it, the more."""
    worth: npt.NDArray[np.float64] = np.log1p(total / np.maximum(1, np.asarray(frequencies)))
    return worth


_NO_ROWS: Rows = np.empty(0, dtype=np.int64)


def _view(values: array[int], dtype: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """A view of the array's own memory, which must be dropped before the array grows."""
    return np.frombuffer(values, dtype) if values else np.empty(0, dtype)
