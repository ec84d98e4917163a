"""The value of a `passage` key: the best spans in some consecutive sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from keymiss.values.json_value import from_json_value, to_json_value

PASSAGE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class PassageSpan:
    """A span of a sentence, likely to be the answer or not.

    `start` and `end` are character offsets in the text of the sentence with number `sentence`.
    `margin` is the span's score less that of "no answer", in logits; `log_odds` is the same on a
    scale that is alike for all readers: the logarithm of the odds that a first answer with this
    margin is right (docs/decisions/0010-no-answer.md).
    """

    text: str
    start: int
    end: int
    sentence: int
    margin: float
    log_odds: float


def passage_to_json(spans: Sequence[PassageSpan]) -> str:
    """The value as it is cached; spans do not overlap and the best one comes first."""
    return to_json_value(PASSAGE_FORMAT, {"spans": [astuple(span) for span in spans]})


def passage_from_json(value: bytes) -> list[PassageSpan]:
    """Reads a cached value.

    Raises:
        ValueError: the value is of another format.
    """
    return [PassageSpan(*span) for span in from_json_value(PASSAGE_FORMAT, value)["spans"]]
