"""Measurements that a person runs, among them those of the article that keymiss builds on."""
