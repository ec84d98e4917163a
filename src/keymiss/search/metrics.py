"""The metrics of indexes; docs/metrics.md has their names and units."""

from __future__ import annotations

from prometheus_client import Gauge

INDEX_DOCUMENTS = Gauge("keymiss_index_documents", "Documents in the index of a shard", ["shard"])
INDEX_SENTENCES = Gauge("keymiss_index_sentences", "Sentences in the index of a shard", ["shard"])
