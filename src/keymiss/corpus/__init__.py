"""Reads articles, cuts them into sentences, and stores these as keys."""
