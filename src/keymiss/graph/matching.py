"""Finds a vocabulary's concepts in text: whole words, case-folded, the longest match first.

Words are put between two marks, and so are those of the terms: a match then begins and ends where
words do, and an Aho-Corasick automaton (Aho and Corasick 1975) that takes the leftmost, then the
longest match needs no filter behind it, which would lose what stands inside a rejected match.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, MatchKind

from keymiss.graph.vocabulary import Vocabulary

SHORTEST = 3
"""Characters of the shortest term: shorter ones are words like "in" as often as names."""

_WORD = re.compile(r"[^\W_]+")
_OPEN, _CLOSE = "\x1e", "\x1f"
"""Marks around a word; control characters are part of none."""


@dataclass(frozen=True, slots=True)
class Match:
    """A concept, by its number in the vocabulary, and where in the text it is named."""

    concept: int
    start: int
    end: int


class Matcher:
    """Finds the concepts of a vocabulary. May be used from several threads.

    Of a term that several concepts claim, the one whose preferred name it is has it, then the one
    that comes first. Terms without letters, or shorter than three characters, are left out.
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
        self._owners = list(owners.values())
        self.terms = len(owners)
        self._automaton = AhoCorasick(
            owners, matchkind=MatchKind.LeftmostLongest, store_patterns=False
        )

    def find(self, text: str) -> list[Match]:
        """The concepts that the text names, in its order; matches do not overlap.

        `start` and `end` are characters of the text.
        """
        words = list(_WORD.finditer(text))
        marked = "".join([f"{_OPEN}{_folded(word[0])}{_CLOSE}" for word in words])
        found = self._automaton.find_matches_as_indexes(marked)
        if not found:
            return []
        places = list(_places(marked))
        matches = []
        for pattern, first, end in found:
            opening, closing = bisect_right(places, first) - 1, bisect_right(places, end - 1) - 1
            matches.append(
                Match(self._owners[pattern], words[opening].start(), words[closing].end())
            )
        return matches


def _places(marked: str) -> Iterator[int]:
    """Where each word's opening mark stands."""
    place = marked.find(_OPEN)
    while place >= 0:
        yield place
        place = marked.find(_OPEN, place + 1)


def _pattern(term: str) -> str:
    """The term as it stands in marked text; empty when it is not looked for."""
    words = _WORD.findall(term)
    letters = "".join(words)
    if len(letters) < SHORTEST or letters.isdigit():
        return ""
    return "".join([f"{_OPEN}{_folded(word)}{_CLOSE}" for word in words])


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFKC", word).casefold()
