"""The metrics of the reader; docs/metrics.md has their names and units."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keymiss.functions.metrics import DURATION_BUCKETS
from keymiss.reader import Reader

TEXT_SECONDS = Histogram(
    "keymiss_text_seconds", "Duration of reading the texts of a batch", buckets=DURATION_BUCKETS
)

VECTOR_DOCUMENTS = Gauge(
    "keymiss_vector_documents", "Documents of a shard whose vectors are in memory", ["shard"]
)
VECTOR_SENTENCES = Gauge(
    "keymiss_vector_sentences", "Sentences of a shard whose vectors are in memory", ["shard"]
)

_STAGES = ("tokenise", "inference", "answer")
_COUNTS = ("calls", "pairs", "windows", "tokens", "padding", "errors")


class ReaderCollector(Collector):
    """Shows a reader's statistics as metrics."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """The metrics for one scrape of Prometheus."""
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
    """Adds a reader's statistics to the metrics of this process."""
    REGISTRY.register(ReaderCollector(reader))
