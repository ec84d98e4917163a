"""Measurements that a person runs: those of the article that this system succeeds."""
