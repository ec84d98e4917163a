"""Pauses between tries: each about twice as long as the one before.

Their jitter keeps clients that lost the same server from coming back at the same moment.
"""

from __future__ import annotations

import random


class Backoff:
    """The pauses of one series of tries, in seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def pause(self) -> float:
        """How long to wait before the next try."""
        pause = self._next * random.uniform(0.5, 1.5)
        self._next = min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """Begins again with the shortest pause, after a try that has succeeded."""
        self._next = self._first
