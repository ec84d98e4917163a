"""The ranking of a shard's sentences, in C."""
