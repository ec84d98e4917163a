"""Articles to sentences to keys."""
