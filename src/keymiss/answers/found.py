"""The value of a `qa` key: what the reader found in one sentence and its neighbours."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Found:
    """The best span, whether or not the reader believes in it; `margin` says how much it does.

    `start` and `end` are character offsets in the text of the sentence with number `sentence`.
    """

    text: str
    start: int
    end: int
    sentence: int
    score: float
    null_score: float
    model: str

    @property
    def margin(self) -> float:
        """Score less null score, in logits: above 0 the reader takes the span for an answer."""
        return self.score - self.null_score

    def to_json(self) -> str:
        """The value as it is cached."""
        return json.dumps({"v": FORMAT, **asdict(self)}, ensure_ascii=False)


def found_from_json(value: bytes) -> Found:
    """Reads a cached value.

    Raises:
        ValueError: it is of another format.
    """
    record = json.loads(value)
    if not isinstance(record, dict) or record.pop("v", None) != FORMAT:
        raise ValueError(f"no qa value of format {FORMAT}: {value[:80]!r}")
    return Found(**record)
