"""Chooses a question's answers among the spans that were read, and says how likely each is right.

The weights are in choosing.json; `make refit` fits them (docs/decisions/0021).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keymiss.asking.passages import CandidatePassage
from keymiss.values.passage_value import PassageSpan

CHOOSING_FILE = Path(__file__).with_name("choosing.json")

MOST_OF_A_DOCUMENT = 2
"""How many answers come from one document, at most, while others are likely."""

LIKELY = 0.2
"""The least probability of an answer that takes the place of a third one of the same document."""

SpansRead = Sequence[tuple[CandidatePassage, Sequence[PassageSpan]]]


@dataclass(frozen=True, slots=True)
class ChoosingModel:
    """What makes a span likely to be right.

    Spans are ranked by their score: how sure the reader is, and `share_in_score` times how well the
    search ranks the sentence. The probability is the sigmoid of a weighed sum of both, of how far
    the span stands out among all spans of the question, and of `intercept`. When the first answer
    is less probable than `least`, nothing answers the question; the others may be ten times less
    probable.
    """

    share_in_score: float
    log_odds: float
    share: float
    standing_out: float
    intercept: float
    least: float

    def score(self, log_odds: float, share: float) -> float:
        """By what spans are ranked."""
        return log_odds + self.share_in_score * share

    def probability(self, log_odds: float, share: float, together: float) -> float:
        """The probability that a span is right.

        Args:
            log_odds: how sure the reader is of it (`PassageSpan`).
            share: how well the search ranks its sentence (`Ranked`).
            together: the logarithm of the sum of exp(score) over all spans of the question.
        """
        standing_out = self.score(log_odds, share) - together
        x = self.log_odds * log_odds + self.share * share + self.standing_out * standing_out
        return 1 / (1 + math.exp(-max(-700.0, x + self.intercept)))


@dataclass(frozen=True, slots=True)
class ChosenSpan:
    """A span of a passage, how well the search ranks its sentence, its distance to all spans of the
    question together, in scores, and the probability that it is right."""

    passage: CandidatePassage
    span: PassageSpan
    share: float
    standing_out: float
    probability: float

    @property
    def sentence(self) -> str:
        """The name of the sentence that it stands in."""
        return f"{self.passage.document}{self.span.sentence}"


@cache
def choosing_model() -> ChoosingModel:
    """The model that comes with the package."""
    return ChoosingModel(**json.loads(CHOOSING_FILE.read_text(encoding="utf-8")))


def choose(read: SpansRead, most: int, model: ChoosingModel | None = None) -> list[ChosenSpan]:
    """The likely answers, the likeliest first, each text and each place once."""
    model = model or choosing_model()
    ranked = ranked_spans(read, model)
    if not ranked or ranked[0].probability < model.least:
        return []
    return _spread([one for one in ranked if one.probability >= model.least / 10])[:most]


def ranked_spans(read: SpansRead, model: ChoosingModel) -> list[ChosenSpan]:
    """All spans, the likeliest first, each text and each place once."""
    scored = [_scored(model, passage, span) for passage, some in read for span in some if span.text]
    kept: dict[str, _Scored] = {}
    for one in sorted(scored, key=lambda one: (-one.score, one.sentence, one.span.start)):
        if not any(_overlap(one, other) for other in kept.values()):
            kept.setdefault(_folded(one.span.text), one)
    if not kept:
        return []
    highest = next(iter(kept.values())).score
    together = highest + math.log(sum(math.exp(one.score - highest) for one in kept.values()))
    return [
        ChosenSpan(
            one.passage,
            one.span,
            one.share,
            one.score - together,
            model.probability(one.span.log_odds, one.share, together),
        )
        for one in kept.values()
    ]


@dataclass(frozen=True, slots=True)
class _Scored:
    passage: CandidatePassage
    span: PassageSpan
    sentence: str
    share: float
    score: float


def _scored(model: ChoosingModel, passage: CandidatePassage, span: PassageSpan) -> _Scored:
    share = passage.share(span.sentence)
    score = model.score(span.log_odds, share)
    return _Scored(passage, span, f"{passage.document}{span.sentence}", share, score)


def _spread(ranked: Sequence[ChosenSpan]) -> list[ChosenSpan]:
    """Third answers of a document come after the likely ones of others."""
    of_document: Counter[str] = Counter()
    early: list[ChosenSpan] = []
    late: list[ChosenSpan] = []
    for one in ranked:
        of_document[one.passage.document] += 1
        is_third = of_document[one.passage.document] > MOST_OF_A_DOCUMENT
        (late if is_third or one.probability < LIKELY else early).append(one)
    return [*early, *late]


def _overlap(one: _Scored, other: _Scored) -> bool:
    return (
        one.sentence == other.sentence
        and one.span.start < other.span.end
        and other.span.start < one.span.end
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
