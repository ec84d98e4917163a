"""Asks questions: finds the sentences worth reading, and the answers that stand in them."""
