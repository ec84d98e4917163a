"""Finds the sentences worth reading: a BM25 index for each shard, and one ranking over all."""
