"""Which consecutive sentences are read for a question's candidates.

Each candidate is read with its neighbours, and with theirs where all are short. Candidates that
overlap are read as one passage while it is short; longer ones stay apart, since a reader finds less
in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from keymiss.search.ranking import Ranked

LONGEST_ALONE, LONGEST_WIDENED, LONGEST_JOINED = 1500, 450, 560
"""How many characters a passage has, at most: of a candidate with its neighbours, of one with their
neighbours, and of candidates that are read together. 560 characters of English are about 128
tokens."""

USUAL_SIZE = 150
"""The size of a sentence about which nothing is known."""


@dataclass(slots=True)
class CandidatePassage:
    """Sentences `first` to `last` of a document, and the candidates among them.

    `document` is the beginning of its sentences' names, `DOC:{TAG}:`. `candidates` maps numbers of
    sentences to what the search says of them, and `sizes` maps all numbers to characters.
    """

    document: str
    sizes: dict[int, int]
    candidates: dict[int, Ranked] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The number of the first sentence."""
        return min(self.sizes)

    @property
    def last(self) -> int:
        """The number of the last sentence."""
        return max(self.sizes)

    def share(self, sentence: int) -> float:
        """The share of a sentence: its own, or that of a candidate beside it."""
        return max(one.share for one in self._beside(sentence))

    def cosine(self, sentence: int) -> float:
        """The cosine of a sentence, likewise."""
        return max(one.cosine for one in self._beside(sentence))

    def _beside(self, sentence: int) -> list[Ranked]:
        near = [one for number, one in self.candidates.items() if abs(number - sentence) <= 1]
        return near or list(self.candidates.values())


def cut_passages(ranked: Sequence[Ranked]) -> list[CandidatePassage]:
    """The passages that are read for these candidates, given best first."""
    passages: list[CandidatePassage] = []
    for one in ranked:
        prefix, _, number = one.sentence.rpartition(":")
        alone = _alone(f"{prefix}:", int(number), one)
        joined = next((each for each in passages if _can_join(each, alone)), None)
        if joined:
            joined.sizes |= alone.sizes
            joined.candidates |= alone.candidates
        else:
            passages.append(alone)
    return passages


def _alone(document: str, number: int, one: Ranked) -> CandidatePassage:
    """A candidate with those of its neighbours that there is room for."""
    around = one.sizes or (USUAL_SIZE,) * 5
    sizes = {number: around[2]}
    for step, longest in (
        (-1, LONGEST_ALONE),
        (1, LONGEST_ALONE),
        (2, LONGEST_WIDENED),
        (-2, LONGEST_WIDENED),
    ):
        size = around[2 + step]
        touches = abs(step) == 1 or number + step // 2 in sizes
        is_there = size > 0 and number + step >= 0 and touches
        if is_there and sum(sizes.values()) + size <= longest:
            sizes[number + step] = size
    return CandidatePassage(document, sizes, {number: one})


def _can_join(one: CandidatePassage, other: CandidatePassage) -> bool:
    return (
        one.document == other.document
        and one.first <= other.last
        and other.first <= one.last
        and sum((one.sizes | other.sizes).values()) <= LONGEST_JOINED
    )
