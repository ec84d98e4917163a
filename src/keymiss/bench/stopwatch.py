"""Measures how long a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def milliseconds(call: Callable[..., object], *arguments: object) -> float:
    """The milliseconds that pass while the call runs once."""
    started = time.perf_counter()
    call(*arguments)
    return 1000 * (time.perf_counter() - started)
