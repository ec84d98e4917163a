"""Notes: the keys that were computed from a document, kept with it so that they can be dropped.

A note is made before the text is read and must outlive the answer. Keys of notes have no time to
live: a server that is short of memory evicts keys that expire, and an answer whose note is gone
would outlive its text. So the workers sweep old notes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

from valkey.exceptions import ValkeyError

from keymiss.functions import Shard
from keymiss.keys import ANSWERS, encode, parse_document_key
from keymiss.server.transactions import Command

NOTED_SECONDS = 3600 + 300
"""How long a note is kept: an answer is cached for an hour, and takes time to compute and store."""

MOST_NOTED = 2048
"""How many computed answers of one document are noted, at most. When more are asked for within an
hour, the oldest are dropped and have to be computed again. So the questions of a stranger cannot
fill the memory with notes, or make the drop after a rewrite a long one."""

MOST_BYTES = 64 << 20
"""How many bytes of notes one worker makes on a shard within `NOTED_SECONDS`, at most. Beyond that,
the oldest answers are dropped: nothing else bounds the notes on a server that evicts answers."""

ROOM = 256
"""How many notes are dropped together when the server has no memory for another one."""

NOTE_OVERHEAD = 250
"""How many bytes a note takes besides its name, at most, here or in a sorted set of the server."""

SWEEP_SECONDS = 1800.0
SWEPT_TOGETHER = 8
"""For how many documents old notes are deleted in one packet, which the server executes without a
pause."""


class Notes:
    """The notes that this worker has made. Bounds them, shard by shard, and sweeps old ones."""

    def __init__(self) -> None:
        self._made: dict[str, deque[tuple[float, bytes, str]]] = defaultdict(deque)
        self._bytes: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._sweeping: dict[str, asyncio.Task[None]] = {}

    def add(self, shard: Shard, made: Sequence[tuple[str, str]]) -> list[list[Command]]:
        """Counts noted keys, each given with the key that holds its note.

        Returns the transactions that drop the oldest answers when there are too many bytes of
        notes.
        """
        notes, now = self._made[shard.id], time.monotonic()
        for text, noted in made:
            name = encode(text)  # in a str one emoji makes the whole name four times as large
            notes.append((now, name, noted))
            self._bytes[shard.id] += _size(name)
        while notes and notes[0][0] < now - NOTED_SECONDS:
            self._forget_oldest(shard)
        dropping: list[list[Command]] = []
        while self._bytes[shard.id] > MOST_BYTES:
            dropping.append(self._forget_oldest(shard))
        return dropping

    def make_room(self, shard: Shard) -> list[list[Command]]:
        """The transactions that drop the oldest answers of this worker and their notes, for a
        server that has no memory left, since it cannot evict notes."""
        notes = self._made[shard.id]
        return [self._forget_oldest(shard) for _ in range(min(ROOM, len(notes)))]

    def _forget_oldest(self, shard: Shard) -> list[Command]:
        _, name, noted = self._made[shard.id].popleft()
        self._bytes[shard.id] -= _size(name)
        return [("KEYMISS.DROP", name), ("ZREM", noted, name)]

    def sweep_when_due(self, shard: Shard) -> None:
        """Sweeps the old notes of all workers in the background, every `SWEEP_SECONDS`."""
        if time.monotonic() < self._due.get(shard.id, 0.0):
            return
        self._due[shard.id] = time.monotonic() + SWEEP_SECONDS
        self._sweeping[shard.id] = asyncio.create_task(sweep(shard))


def _size(name: bytes) -> int:
    return len(name) + NOTE_OVERHEAD


async def sweep(shard: Shard) -> None:
    """Deletes the old notes of a shard."""
    now = int(time.time())
    batch: list[Command] = []
    try:
        async for noted in shard.keys(ANSWERS):
            if parse_document_key(noted) is None:
                continue  # the key of another program
            batch.append(("ZREMRANGEBYSCORE", noted, "-inf", now))
            if len(batch) == SWEPT_TOGETHER:
                await shard.read(batch)
                batch = []
        await shard.read(batch)
    except (TimeoutError, ValkeyError, OSError):
        return  # the next sweep deletes the rest
