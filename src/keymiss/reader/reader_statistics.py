"""Counts what a reader has done since it was loaded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields


@dataclass
class Statistics:
    """Counters that only rise. Several threads may write them."""

    calls: int = 0
    """Calls of `read_batch`."""
    pairs: int = 0
    """Pairs of a question and a passage, in all calls together."""
    windows: int = 0
    """Windows that the pairs were read in: one for each pair, more for a long passage."""
    tokens: int = 0
    padding: int = 0
    """Padding tokens, which fill the windows of a group up to one length."""
    errors: int = 0
    """Calls of `read_batch` that failed."""
    tokenise_seconds: float = 0.0
    inference_seconds: float = 0.0
    answer_seconds: float = 0.0
    """The time for choosing answers and finding their places in the text."""
    load_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: float) -> None:
        """Adds each count to the counter of its name."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the seconds that the block takes to the counter of this name."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(**{name: time.perf_counter() - started})

    def read(self) -> dict[str, float]:
        """All counters by name, read at the same moment."""
        with self._lock:
            return {one.name: getattr(self, one.name) for one in fields(self) if one.compare}
