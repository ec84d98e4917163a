"""What a reader has done since it was loaded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields


@dataclass
class Statistics:
    """Counters that only rise. May be written from several threads."""

    calls: int = 0
    """Of `read_batch`."""
    pairs: int = 0
    """Questions with a passage, all calls together."""
    windows: int = 0
    """What the pairs were read in: one each, more where a passage is long."""
    tokens: int = 0
    padding: int = 0
    """Tokens that stand where windows of a group end."""
    errors: int = 0
    """Calls that failed."""
    tokenise_seconds: float = 0.0
    inference_seconds: float = 0.0
    answer_seconds: float = 0.0
    """Finding spans and their places in the text."""
    load_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: float) -> None:
        """Adds to the counters of these names."""
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
        """All counters by name, as they are at one moment."""
        with self._lock:
            return {one.name: getattr(self, one.name) for one in fields(self) if one.compare}
