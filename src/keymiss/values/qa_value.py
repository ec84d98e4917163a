"""The value of a `qa` key: what the reader found in one sentence and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, fields

from keymiss.values.json_value import from_json_value, to_json_value

QA_FORMAT = 3


@dataclass(frozen=True, slots=True)
class Found:
    """The best span, whether or not it is likely to be the answer.

    `probability` is how often a span with this margin is right, and `likely` whether that is often
    enough for an answer, by the model's calibration (docs/decisions/0010-no-answer.md). `score` and
    `null_score` are sums of the reader's logits, for the span and for "no answer". `start` and
    `end` are character offsets in the text of the sentence with number `sentence`.
    """

    text: str
    start: int
    end: int
    sentence: int
    score: float
    null_score: float
    probability: float
    likely: bool
    model: str

    @property
    def margin(self) -> float:
        """The score minus the null score, in logits; it is comparable between passages."""
        return self.score - self.null_score

    @property
    def is_answer(self) -> bool:
        """Whether the span is given as an answer."""
        return bool(self.text) and self.likely

    def to_json(self) -> str:
        """The value as it is cached."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return to_json_value(QA_FORMAT, record)


def found_from_json(value: bytes) -> Found:
    """Reads a cached value.

    Raises:
        ValueError: the value is of another format.
    """
    return Found(**from_json_value(QA_FORMAT, value))
