"""Which sentences are worth reading: a BM25 index per shard, ranked together."""
