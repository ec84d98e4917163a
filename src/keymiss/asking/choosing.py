"""Chooses a question's answers among the spans that were read, and says how likely each is right.

The weights are in choosing.json; `make refit` fits them (docs/decisions/0021).
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

from keymiss.asking.passages import CandidatePassage
from keymiss.search.terms import terms_of
from keymiss.values.passage_value import PassageSpan

CHOOSING_FILE = Path(__file__).with_name("choosing.json")

MOST_OF_A_DOCUMENT = 2
"""How many answers come from one document, at most, while others are likely."""

LONGEST_LEAD = 6.0
"""How much a lead counts, at most."""

WORTH_SHOWING = 0.02
"""The least probability of a further answer, as a part of the first one's."""

LIKELY = 0.06
"""The least probability of an answer that takes the place of a third one of the same document."""

SpansRead = Sequence[tuple[CandidatePassage, Sequence[PassageSpan]]]


class FoundBy(StrEnum):
    """How sentences were found: by words alone, or by their vectors, too."""

    WORDS = "words"
    VECTORS = "vectors"


@dataclass(frozen=True, slots=True)
class ChoosingModel:
    """What makes a span likely to be right: how sure the reader is of it (its log odds), and how
    well the search ranks its sentence, by words (its share) and by vectors (its cosine).

    Spans are ranked by their score, the log odds plus `share_in_score` times the share and
    `cosine_in_score` times the cosine. The probability of the first span is the sigmoid of a
    weighed sum of these, of its lead over the second, and of `intercept`; for those that follow,
    this sum is less by `later`, and by `behind` times what their score is behind. A
    question whose first span is less probable than `least` has no answer.
    """

    share_in_score: float
    cosine_in_score: float
    log_odds: float
    share: float
    cosine: float
    lead: float
    intercept: float
    later: float
    behind: float
    least: float

    def score(self, log_odds: float, share: float, cosine: float) -> float:
        """By what spans are ranked."""
        return log_odds + self.share_in_score * share + self.cosine_in_score * cosine

    def likelihood(self, log_odds: float, share: float, cosine: float, lead: float) -> float:
        """The log odds that a question's first span is right."""
        of_span = self.log_odds * log_odds + self.share * share + self.cosine * cosine
        return of_span + self.lead * lead + self.intercept


@dataclass(frozen=True, slots=True)
class ChosenSpan:
    """A span of a passage, named by its sentence, with the share and the cosine of this sentence,
    its score, and the probability that it is right."""

    sentence: str
    document: str
    span: PassageSpan
    share: float
    cosine: float
    score: float
    probability: float


@cache
def choosing_model(by: FoundBy) -> ChoosingModel:
    """The model that comes with the package."""
    return ChoosingModel(**json.loads(CHOOSING_FILE.read_text(encoding="utf-8"))[by])


def found_by(read: SpansRead) -> FoundBy:
    """How the sentences were found."""
    has_cosines = any(one.cosine for passage, _ in read for one in passage.candidates.values())
    return FoundBy.VECTORS if has_cosines else FoundBy.WORDS


def choose(read: SpansRead, most: int, model: ChoosingModel) -> list[ChosenSpan]:
    """The likeliest spans, the best first, each text and each place once. Those that are much less
    likely than the best are left out."""
    ranked = ranked_spans(read, model)
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
    return _with_probabilities(list(kept.values()), model)


def _scored(model: ChoosingModel, passage: CandidatePassage, span: PassageSpan) -> ChosenSpan:
    share, cosine = passage.share(span.sentence), passage.cosine(span.sentence)
    return ChosenSpan(
        sentence=f"{passage.document}{span.sentence}",
        document=passage.document,
        span=span,
        share=share,
        cosine=cosine,
        score=model.score(span.log_odds, share, cosine),
        probability=0.0,
    )


def _with_probabilities(ranked: Sequence[ChosenSpan], model: ChoosingModel) -> list[ChosenSpan]:
    if not ranked:
        return []
    first = ranked[0]
    of_first = model.likelihood(*features_of_first(ranked))
    later = [
        replace(one, probability=sigmoid(of_first - model.later - model.behind * gap))
        for one in ranked[1:]
        for gap in [first.score - one.score]
    ]
    return [replace(first, probability=sigmoid(of_first)), *later]


def features_of_first(ranked: Sequence[ChosenSpan]) -> tuple[float, float, float, float]:
    """What says how likely the first of these spans is: the arguments of `likelihood`."""
    first = ranked[0]
    lead = first.score - ranked[1].score if len(ranked) > 1 else LONGEST_LEAD
    return first.span.log_odds, first.share, first.cosine, min(lead, LONGEST_LEAD)


def sigmoid(log_odds: float) -> float:
    """The probability that has these log odds."""
    return 1 / (1 + math.exp(-max(-700.0, log_odds)))


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
    return any(letter.isupper() for letter in text) or bool(terms_of(text))


def _overlap(one: PassageSpan, other: PassageSpan) -> bool:
    return one.start < other.end and other.start < one.end


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
