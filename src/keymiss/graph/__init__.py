"""Concepts in sentences, and the edges between concepts that occur together."""
