"""The engine: BERT's encoder with a span head, in C, for the processors that are common."""
