"""Answers questions beside the data: the reader, as functions on missing and written keys."""
