"""How much is read for a question: as many candidates as a budget of time allows."""

from __future__ import annotations

from enum import StrEnum

FEWEST_READ, MOST_READ, STEP = 10, 30, 10
"""How many candidates are read, at least and at most. Between them the number grows in steps, so
that readers of nearly the same speed give the same answers."""

READ_MS = 200.0
"""The budget for the reader's time, in milliseconds: docs/decisions/0021-finding-and-choosing.md
has what it gives on which machine."""


class Effort(StrEnum):
    """How much is read for a question."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


def candidates_read(
    effort: Effort, passage_ms: float, read_ms: float = READ_MS, settled: bool = True
) -> int:
    """How many candidates are read.

    Args:
        effort: LOW reads the fewest, HIGH the most, NORMAL what the budget allows.
        passage_ms: how long the reader takes for a passage; 0 when it is not known.
        read_ms: the budget.
        settled: whether the order of candidates is right; otherwise a step more is read, so that
            those that would be read are among them.
    """
    extra = 0 if settled else STEP
    if effort is Effort.HIGH:
        return MOST_READ + extra
    if effort is Effort.LOW or passage_ms <= 0:
        return FEWEST_READ + extra
    steps = int(min(MOST_READ, read_ms / passage_ms) // STEP)
    return max(FEWEST_READ, steps * STEP) + extra
