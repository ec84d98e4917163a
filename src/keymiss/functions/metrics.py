"""Measures functions on their worker. Names and units are in docs/metrics.md.

Every batch of every function is measured, from the event loop alone, so plain additions suffice.
The library's own histograms and counters take a lock for each bucket: this costs a worker that
computes little six per cent of its time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from keymiss.errors import outcome
from keymiss.functions.function import Result

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EVENT_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Distribution(Collector):
    """A histogram for each function."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = bounds
        self._observed: dict[str, Observed] = {}
        REGISTRY.register(self)

    def of(self, function: str) -> Observed:
        """The histogram of a function."""
        return self._observed.setdefault(function, Observed(self._bounds))

    def collect(self) -> Iterable[Metric]:
        """The metrics for Prometheus."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=["function"])
        for function, observed in list(self._observed.items()):
            family.add_metric([function], observed.buckets(), observed.sum)
        yield family


class Observed:
    """The histogram of one function: its values, counted between bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """For each bound, how many values are not greater."""
        bounds = [*map(str, map(float, self._bounds)), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))


class Outcomes(Collector):
    """How many events of each function and shard had which outcome."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._counted: dict[tuple[str, str], Counted] = {}
        REGISTRY.register(self)

    def of(self, function: str, shard: str) -> Counted:
        """The counters of a function on a shard."""
        return self._counted.setdefault((function, shard), Counted())

    def collect(self) -> Iterable[Metric]:
        """The metrics for Prometheus."""
        labels = ["function", "shard", "outcome"]
        family = CounterMetricFamily(self._name, self._documentation, labels=labels)
        for place, counted in list(self._counted.items()):
            for word, count in list(counted.counts.items()):
                family.add_metric([*place, word], count)
        yield family


class Counted:
    """How many results were `ok`, and how many were errors of each class."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, int] = defaultdict(int)

    def count(self, results: Sequence[Result]) -> None:
        """Counts the results of some events."""
        failed = [result for result in results if isinstance(result, BaseException)]
        self.counts["ok"] += len(results) - len(failed)
        for error in failed:
            self.counts[outcome(error)] += 1


BATCH_EVENTS = Distribution(
    "keymiss_batch_events", "Events in one call of a handler", EVENT_BUCKETS
)
HANDLER_SECONDS = Distribution(
    "keymiss_handler_seconds", "Duration of one call of a handler", DURATION_BUCKETS
)
QUEUE_SECONDS = Distribution(
    "keymiss_worker_queue_seconds",
    "How long events that came during a call waited for the next call",
    DURATION_BUCKETS,
)
HANDLED = Outcomes("keymiss_events_total", "Events that were handled")
