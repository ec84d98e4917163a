"""Finds a vocabulary's concepts in text: whole words, case-folded, the longest match first.

Each word of a text is put between two marks, and so is each word of a term: a match then begins and
ends where words do. An Aho-Corasick automaton (Aho and Corasick 1975) takes the leftmost, then the
longest match. Its matches need no filter, which would lose the terms inside a rejected match.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from itertools import accumulate
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

from keymiss.graph.vocabulary import Vocabulary

SHORTEST = 3
"""How many characters the shortest term has. Shorter ones are as often words like "in" as names."""

_WORD = re.compile(r"([^\W_]+)")
_OPEN, _CLOSE = "\x1e", "\x1f"
_BETWEEN = _CLOSE + _OPEN
"""The marks between two words. They are control characters, which no word contains."""


class Match(NamedTuple):
    """A concept, by its number in the vocabulary, and where in the text it is named."""

    concept: int
    start: int
    end: int


class Matcher:
    """Finds the concepts of a vocabulary. It may be used from several threads.

    A term that several concepts claim belongs to the one whose preferred name it is, else to the
    one that comes first. Terms without letters, or shorter than three characters, are left out.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        concepts = vocabulary.concepts
        owners: dict[str, int] = {}
        for number, concept in enumerate(concepts):
            owners.setdefault(_pattern(concept.name), number)
        for number, concept in enumerate(concepts):
            for synonym in concept.synonyms:
                owners.setdefault(_pattern(synonym), number)
        owners.pop("", None)
        self._owners = array("I", owners.values())
        self.terms = len(owners)
        self._automaton = AhoCorasick(
            owners, matchkind=MatchKind.LeftmostLongest, store_patterns=False
        )

    def find(self, text: str) -> list[Match]:
        """The concepts that the text names, in the order of the text; matches do not overlap.

        `start` and `end` are character offsets in the text.
        """
        pieces = _WORD.split(text)
        marked = _marked(pieces[1::2])
        found = self._automaton.find_matches_as_indexes(marked)
        if not found:
            return []
        edges = list(accumulate(map(len, pieces)))
        starts, ends = edges[0::2], edges[1::2]
        owners, words_before = self._owners, marked.count
        return [
            Match(
                owners[pattern],
                starts[words_before(_OPEN, 0, first)],
                ends[words_before(_CLOSE, 0, end) - 1],
            )
            for pattern, first, end in found
        ]


def _marked(words: list[str]) -> str:
    """The case-folded words, each between its marks."""
    folded = unicodedata.normalize("NFKC", _BETWEEN.join(words)).casefold()
    return f"{_OPEN}{folded}{_CLOSE}" if words else ""


def _pattern(term: str) -> str:
    """The term as it stands in marked text; empty when it is not looked for."""
    words = _WORD.findall(term)
    letters = "".join(words)
    return _marked(words) if len(letters) >= SHORTEST and not letters.isdigit() else ""
