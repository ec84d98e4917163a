"""Counts a question's terms in documents and sentences, in C."""
