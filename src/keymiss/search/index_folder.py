"""The folders where a worker keeps its indexes between runs."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
from importlib.metadata import version
from pathlib import Path

INDEX_FORMAT = f"4-tantivy-{version('tantivy')}"
"""This is a part of the path: an index of another format is left alone, and one of this format is
made beside it."""


def claim_folder(cache: Path, shard: str) -> Path:
    """A folder for the index of the shard with this id, which no other process of this machine
    uses.

    A later process finds the index of one that has ended. The claim ends with the process.
    """
    place = cache / "index" / INDEX_FORMAT / hashlib.sha256(shard.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        lock = os.open(place / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return place / str(number)
        except BlockingIOError:
            os.close(lock)
    raise AssertionError("unreachable")
