"""Concepts in sentences, and the edges between those that occur together."""
