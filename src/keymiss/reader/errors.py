"""What can be wrong with a model."""


class ModelError(Exception):
    """A model folder is incomplete, damaged or of a kind that the reader does not know."""
