"""The metrics of questions; docs/metrics.md has their names and units."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from keymiss.functions.metrics import DURATION_BUCKETS

ASKED_QUESTIONS_TOTAL = Counter("keymiss_questions_total", "Questions that were asked", ["outcome"])
INCOMPLETE = Counter(
    "keymiss_questions_incomplete_total", "Questions answered without a part of the corpus"
)
STAGE_SECONDS = Histogram(
    "keymiss_question_stage_seconds",
    "Duration of a question's stages: find, read, show, and all of them",
    ["stage"],
    buckets=DURATION_BUCKETS,
)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measures a stage of a question, also when the stage fails."""
    started = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(name).observe(time.perf_counter() - started)


def count_question(outcome: str, complete: bool = True) -> None:
    """Counts a question by its outcome: `answered`, `unanswered`, or the class of its error."""
    ASKED_QUESTIONS_TOTAL.labels(outcome).inc()
    if not complete:
        INCOMPLETE.inc()
