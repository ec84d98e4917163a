"""The metrics of the concept graph; docs/metrics.md has their names and units."""

from __future__ import annotations

from prometheus_client import Gauge

GRAPH_DOCUMENTS = Gauge(
    "keymiss_graph_documents", "Documents of a shard whose concepts are known", ["shard"]
)
GRAPH_SENTENCES = Gauge(
    "keymiss_graph_sentences", "Sentences of a shard that name a concept", ["shard"]
)
GRAPH_CONCEPTS = Gauge(
    "keymiss_graph_concepts", "Concepts in all sentences of a shard together", ["shard"]
)
