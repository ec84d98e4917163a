"""The terms of a document as numbers, sentence by sentence: what a ranking needs to know of it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keymiss.search.abbreviations import with_other_forms
from keymiss.search.terms import TermHashes, hash_terms, terms_of


class Weighing(NamedTuple):
    """What a term counts in a sentence, in a sentence beside it, and in the title of its document,
    in tenths. In whole numbers, sums over shards do not depend on their order."""

    own: int = 10
    near: int = 3
    in_title: int = 3


WEIGHING = Weighing()

MOST_COUNTED = 4096
"""How many tokens a document has, at most, whose terms are counted for each question. Longer ones
get a list of their terms, which takes longer than many questions when they are found first."""


@dataclass(frozen=True)
class DocumentTerms:
    """A document's terms.

    Args:
        title: the title's terms, uint32 of shape (terms,).
        tokens: the terms of all sentences in their order, uint32 of shape (tokens,).
        bounds: where each sentence begins in `tokens`, and the end of the last one, int32 of shape
            (sentences + 1,).
        numbers: the number of each sentence, int32 of shape (sentences,), ascending.
        sizes: how many characters each sentence has, with two 0 before and behind them, int32 of
            shape (sentences + 4,).
    """

    title: TermHashes
    tokens: TermHashes
    bounds: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int32]

    @property
    def weighed_length(self) -> int:
        """How many terms all sentences have, with neighbours and title, in tenths."""
        lengths = np.diff(self.bounds).astype(np.int64)
        beside = 2 * lengths.sum() - lengths[:1].sum() - lengths[-1:].sum()
        in_title = len(self.title) * len(lengths)
        own, near, title = WEIGHING
        return int(own * lengths.sum() + near * beside + title * in_title)

    @cached_property
    def vocabulary(self) -> tuple[TermHashes, npt.NDArray[np.int32]]:
        """The distinct terms of the sentences, and how often each of them occurs."""
        terms, counts = np.unique(self.tokens, return_counts=True)
        return terms, counts.astype(np.int32)

    @cached_property
    def address(self) -> int:
        """Where `DocumentTerms` of sentence_ranking.h lies: the addresses of the arrays, which live
        as long as this object, and their lengths."""
        is_long = len(self.tokens) > MOST_COUNTED
        terms, counts = self.vocabulary if is_long else (self.tokens, self.bounds)
        arrays = (self.title, self.tokens, terms, self.bounds, counts)
        lengths = (len(self.title), len(terms) if is_long else -1, len(self.numbers), 0)
        packed = struct.pack("5P4i", *(array.ctypes.data for array in arrays), *lengths)
        self.__dict__["_packed"] = memory = np.frombuffer(packed, np.uint8)
        return int(memory.ctypes.data)

    def sentence_counts(self) -> Counter[int]:
        """In how many sentences each term occurs."""
        number = np.arange(len(self.numbers), dtype=np.uint64)
        of_sentence = np.repeat(number, np.diff(self.bounds))
        once = np.unique(of_sentence << np.uint64(32) | self.tokens)
        terms, counts = np.unique(once.astype(np.uint32), return_counts=True)
        return Counter(dict(zip(terms.tolist(), counts.tolist(), strict=True)))

    def to_bytes(self) -> bytes:
        """How many numbers there are of each kind, and all of them."""
        parts = (self.title, self.tokens, self.bounds, self.numbers, self.sizes)
        counts = np.array([len(part) for part in parts[:4]], np.int32)
        return b"".join(part.tobytes() for part in (counts, *parts))

    @classmethod
    def from_bytes(cls, data: bytes) -> DocumentTerms:
        """Reads what `to_bytes` gave."""
        numbers = np.frombuffer(data, np.int32)
        title, tokens, *others = np.split(numbers[4:], np.cumsum(numbers[:4]))
        return cls(title.view(np.uint32), tokens.view(np.uint32), *others)


def document_terms(title: str, sentences: Mapping[int, str]) -> tuple[DocumentTerms, list[str]]:
    """The terms of a document, and those of each sentence as text with blanks between them.

    Raises:
        UnicodeEncodeError: a text holds half a surrogate pair.
    """
    texts = [terms_of(text) for text in with_other_forms(sentences).values()]
    terms = DocumentTerms(
        title=hash_terms(terms_of(title)),
        tokens=hash_terms([term for text in texts for term in text]),
        bounds=np.cumsum([0, *map(len, texts)], dtype=np.int32),
        numbers=np.fromiter(sentences, np.int32, len(sentences)),
        sizes=np.array([0, 0, *map(len, sentences.values()), 0, 0], np.int32),
    )
    return terms, [" ".join(text) for text in texts]
