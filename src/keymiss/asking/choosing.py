"""Chooses a question's answers among the spans that were read: a small logistic model says how
likely each of them is right.

Its weights are in choosing.json; `make refit` fits them (docs/decisions/0021).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keymiss.asking.passages import Passage
from keymiss.values.passage_value import PassageSpan

CHOOSING_FILE = Path(__file__).with_name("choosing.json")

MOST_OF_A_DOCUMENT = 2
"""How many answers come from one document, at most, while others are likely."""

LIKELY = 0.2
"""The least probability of an answer that takes the place of a third one of the same document."""

Read = Sequence[tuple[Passage, Sequence[PassageSpan]]]


@dataclass(frozen=True, slots=True)
class ChoosingModel:
    """The logistic model: a weight for each feature, and the rest.

    A span is right with the probability `sigmoid(sum of weight * feature + intercept)`; below
    `least` it is not an answer.
    """

    weights: Mapping[str, float]
    intercept: float
    least: float

    def probability(self, features: Mapping[str, float]) -> float:
        """The probability that a span with these features is right."""
        x = sum(self.weights[name] * value for name, value in features.items()) + self.intercept
        return 1 / (1 + math.exp(-max(-700.0, x)))


@dataclass(frozen=True, slots=True)
class ChosenSpan:
    """A span of a passage, and the probability that it is right."""

    passage: Passage
    span: PassageSpan
    probability: float

    @property
    def sentence(self) -> str:
        """The name of the sentence that it stands in."""
        return f"{self.passage.document}{self.span.sentence}"


@cache
def choosing_model() -> ChoosingModel:
    """The model that comes with the package."""
    return ChoosingModel(**json.loads(CHOOSING_FILE.read_text(encoding="utf-8")))


def choose(read: Read, most: int, model: ChoosingModel | None = None) -> list[ChosenSpan]:
    """The likely answers, the likeliest first, each text and each place once."""
    model = model or choosing_model()
    likely = [one for one in ranked_spans(read, model) if one.probability >= model.least]
    return _spread(likely)[:most]


def ranked_spans(read: Read, model: ChoosingModel) -> list[ChosenSpan]:
    """All spans, the likeliest first, each text and each place once."""
    ranked = sorted(
        (
            ChosenSpan(passage, span, model.probability(features))
            for passage, span, features in span_features(read)
        ),
        key=lambda one: (-one.probability, one.sentence, one.span.start),
    )
    kept: dict[str, ChosenSpan] = {}
    for one in ranked:
        if not any(_overlap(one, other) for other in kept.values()):
            kept.setdefault(_folded(one.span.text), one)
    return list(kept.values())


def span_features(read: Read) -> list[tuple[Passage, PassageSpan, dict[str, float]]]:
    """Each span with what tells whether it is right: how sure the reader is of it, by itself and
    among all spans of the question; how well the search ranks its sentence, likewise; and in how
    many passages the same text was found."""
    spans = [(passage, span) for passage, some in read for span in some if span.text]
    if not spans:
        return []
    highest = max(span.log_odds for _, span in spans)
    together = highest + math.log(sum(math.exp(span.log_odds - highest) for _, span in spans))
    shares = [passage.share(span.sentence) for passage, span in spans]
    best = max(shares)
    found_in = Counter(
        text for _, some in read for text in {_folded(span.text) for span in some if span.text}
    )
    return [
        (
            passage,
            span,
            {
                "log_odds": span.log_odds,
                "log_odds_among_all": span.log_odds - together,
                "share": share,
                "share_below_best": share - best,
                "agreement": math.log(found_in[_folded(span.text)]),
            },
        )
        for (passage, span), share in zip(spans, shares, strict=True)
    ]


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


def _overlap(one: ChosenSpan, other: ChosenSpan) -> bool:
    return (
        one.sentence == other.sentence
        and one.span.start < other.span.end
        and other.span.start < one.span.end
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
