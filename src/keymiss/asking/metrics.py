"""What is measured of questions and of the reader. Names and units: docs/metrics.md."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keymiss.functions.metrics import SECONDS
from keymiss.reader import Reader

QUESTIONS = Counter("keymiss_questions_total", "Questions that were asked", ["outcome"])
INCOMPLETE = Counter(
    "keymiss_questions_incomplete_total", "Questions that a part of the corpus did not answer"
)
STAGE_SECONDS = Histogram(
    "keymiss_question_stage_seconds",
    "Duration of a question's stages: find, read, show, and all of it",
    ["stage"],
    buckets=SECONDS,
)
TEXT_SECONDS = Histogram(
    "keymiss_text_seconds", "Duration of reading the texts of a batch", buckets=SECONDS
)

_STAGES = ("tokenise", "inference", "answer")
_COUNTS = ("calls", "pairs", "windows", "tokens", "padding", "errors")


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measures a stage of a question, also of one that fails."""
    started = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(name).observe(time.perf_counter() - started)


def count_question(outcome: str, complete: bool = True) -> None:
    """Counts a question: `answered`, `unanswered`, or the name of an error's class."""
    QUESTIONS.labels(outcome).inc()
    if not complete:
        INCOMPLETE.inc()


class ReaderCollector(Collector):
    """Shows a reader's statistics as metrics."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """What Prometheus asks for at each scrape."""
        reader = self._reader
        counts = reader.statistics.read()
        name = [reader.name]
        for what in _COUNTS:
            family = CounterMetricFamily(
                f"keymiss_reader_{what}", f"The reader's {what}", labels=["model"]
            )
            family.add_metric(name, counts[what])
            yield family
        seconds = CounterMetricFamily(
            "keymiss_reader_seconds", "Time that the reader spent", labels=["model", "stage"]
        )
        for each in _STAGES:
            seconds.add_metric([reader.name, each], counts[f"{each}_seconds"])
        yield seconds
        load = GaugeMetricFamily(
            "keymiss_reader_load_seconds",
            "Time to load the model",
            labels=["model", "precision", "version"],
        )
        load.add_metric([reader.name, reader.precision, reader.version], counts["load_seconds"])
        yield load


def show_reader(reader: Reader) -> None:
    """Makes a reader's statistics part of what this process shows."""
    REGISTRY.register(ReaderCollector(reader))
