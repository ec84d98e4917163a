"""What is measured of functions on their worker. Names and units: docs/metrics.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import prometheus_client
from prometheus_client import Histogram

from keymiss.errors import KeymissError
from keymiss.functions.function import Event, Result

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

BATCH_EVENTS = Histogram(
    "keymiss_batch_events", "Events in one call of a handler", ["function"], buckets=EVENTS
)
HANDLER_SECONDS = Histogram(
    "keymiss_handler_seconds", "Duration of one call of a handler", ["function"], buckets=SECONDS
)
QUEUE_SECONDS = Histogram(
    "keymiss_worker_queue_seconds",
    "Time that events wait in the worker for a call before theirs",
    ["function"],
    buckets=SECONDS,
)
EVENTS_TOTAL = prometheus_client.Counter(
    "keymiss_events_total", "Events that were handled", ["function", "shard", "outcome"]
)


def count_results(function: str, events: Sequence[Event], results: Sequence[Result]) -> None:
    """Counts the outcomes of a batch: `ok`, or the name of the error's class."""
    pairs = zip(events, results, strict=True)
    counts = Counter((event.shard.name, outcome(result)) for event, result in pairs)
    for labels, count in counts.items():
        EVENTS_TOTAL.labels(function, *labels).inc(count)


def outcome(result: object) -> str:
    """`ok`, the name of an error's class, or `failure` for errors that are not ours."""
    if not isinstance(result, BaseException):
        return "ok"
    return type(result).__name__ if isinstance(result, KeymissError) else "failure"
