"""Chooses a question's answers among the spans that were read, and says how likely each is right.

The weights are in choosing.json; `make refit` fits them (docs/decisions/0021).
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keymiss.asking.passages import CandidatePassage
from keymiss.search.terms import terms_of
from keymiss.values.passage_value import PassageSpan

CHOOSING_FILE = Path(__file__).with_name("choosing.json")

MOST_OF_A_DOCUMENT = 2
"""How many answers come from one document, at most, while others are likely."""

WORTH_SHOWING = 0.2
"""The least probability of a further answer, as a part of the first one's."""

LIKELY = 0.2
"""The least probability of an answer that takes the place of a third one of the same document."""

SpansRead = Sequence[tuple[CandidatePassage, Sequence[PassageSpan]]]


@dataclass(frozen=True, slots=True)
class ChoosingModel:
    """What makes a span likely to be right: how sure the reader is of it (its log odds), and how
    well the search ranks its sentence (its share).

    Spans are ranked by their score, the log odds plus `share_in_score` times the share. The
    probability is the sigmoid of a weighed sum of both and of `intercept`. A question whose first
    span is less probable than `least` has no answer.
    """

    share_in_score: float
    log_odds: float
    share: float
    intercept: float
    least: float

    def score(self, log_odds: float, share: float) -> float:
        """By what spans are ranked."""
        return log_odds + self.share_in_score * share

    def probability(self, log_odds: float, share: float) -> float:
        """The probability that a span is right."""
        x = self.log_odds * log_odds + self.share * share + self.intercept
        return 1 / (1 + math.exp(-max(-700.0, x)))


@dataclass(frozen=True, slots=True)
class ChosenSpan:
    """A span of a passage, named by its sentence, with the share of this sentence, its score, and
    the probability that it is right."""

    sentence: str
    document: str
    span: PassageSpan
    share: float
    score: float
    probability: float


@cache
def choosing_model() -> ChoosingModel:
    """The model that comes with the package."""
    return ChoosingModel(**json.loads(CHOOSING_FILE.read_text(encoding="utf-8")))


def choose(read: SpansRead, most: int, model: ChoosingModel | None = None) -> list[ChosenSpan]:
    """The likeliest spans, the best first, each text and each place once. Those that are much less
    likely than the best are left out."""
    ranked = ranked_spans(read, model or choosing_model())
    worth = [one for one in ranked if one.probability >= WORTH_SHOWING * ranked[0].probability]
    return _spread(worth)[:most]


def ranked_spans(read: SpansRead, model: ChoosingModel) -> list[ChosenSpan]:
    """All spans by their scores, each text and each place once."""
    chosen = [
        _scored(model, passage, span)
        for passage, some in read
        for span in some
        if _says_something(span.text)
    ]
    kept: dict[str, ChosenSpan] = {}
    in_sentence: dict[str, list[PassageSpan]] = defaultdict(list)
    for one in sorted(chosen, key=lambda one: (-one.score, one.sentence, one.span.start)):
        beside = in_sentence[one.sentence]
        is_new = not any(_overlap(one.span, other) for other in beside)
        if is_new and kept.setdefault(_folded(one.span.text), one) is one:
            beside.append(one.span)
    return list(kept.values())


def _scored(model: ChoosingModel, passage: CandidatePassage, span: PassageSpan) -> ChosenSpan:
    share = passage.share(span.sentence)
    return ChosenSpan(
        sentence=f"{passage.document}{span.sentence}",
        document=passage.document,
        span=span,
        share=share,
        score=model.score(span.log_odds, share),
        probability=model.probability(span.log_odds, share),
    )


def _spread(ranked: Sequence[ChosenSpan]) -> list[ChosenSpan]:
    """Third answers of a document come after the likely ones of others."""
    of_document: Counter[str] = Counter()
    early: list[ChosenSpan] = []
    late: list[ChosenSpan] = []
    for one in ranked:
        of_document[one.document] += 1
        is_third = of_document[one.document] > MOST_OF_A_DOCUMENT
        (late if is_third or one.probability < LIKELY else early).append(one)
    return [*early, *late]


def _says_something(text: str) -> bool:
    """Whether a span is more than stop words and punctuation. A capital may name something."""
    return bool(terms_of(text)) or any(letter.isupper() for letter in text)


def _overlap(one: PassageSpan, other: PassageSpan) -> bool:
    return one.start < other.end and other.start < one.end


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
