"""What is measured of the concept graph. Names and units: docs/metrics.md."""

from __future__ import annotations

from prometheus_client import Gauge

GRAPH_DOCUMENTS = Gauge(
    "keymiss_graph_documents", "Documents whose concepts are known of a shard", ["shard"]
)
GRAPH_SENTENCES = Gauge(
    "keymiss_graph_sentences", "Sentences of a shard that name a concept", ["shard"]
)
GRAPH_CONCEPTS = Gauge(
    "keymiss_graph_concepts", "Concepts in the sentences of a shard, all together", ["shard"]
)
