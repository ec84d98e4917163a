"""Who scores: how good answers are."""
