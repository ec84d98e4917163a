"""keymiss answers questions from text that lives in Valkey: a GET that computes, and a reader."""

from __future__ import annotations

from typing import Any

__all__ = ["pipeline"]


def __getattr__(name: str) -> Any:
    # Importing the reader takes half a second, which functions without one need not spend.
    if name == "pipeline":
        from keymiss.reader.pipeline import pipeline

        return pipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
