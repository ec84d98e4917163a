"""What is measured of indexes. Names and units: docs/metrics.md."""

from __future__ import annotations

from prometheus_client import Gauge

INDEX_DOCUMENTS = Gauge("keymiss_index_documents", "Documents in the index of a shard", ["shard"])
INDEX_SENTENCES = Gauge("keymiss_index_sentences", "Sentences in the index of a shard", ["shard"])
