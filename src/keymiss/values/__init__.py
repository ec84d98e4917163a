"""What the values of computed keys hold: written by those who answer, read by those who ask."""
