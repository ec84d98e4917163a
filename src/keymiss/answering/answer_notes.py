"""Notes: the keys that were computed from a document, kept with it so that they can be dropped.

A note is made before the text is read and must outlive the answer. It has no time to live of its
own: a server that is short of memory evicts what expires, and an answer whose note is gone would
survive its text. So old notes are swept by the workers.
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
"""An answer is cached for an hour, and takes a while to be computed and stored."""

MOST_NOTED = 2048
"""Computed answers of one document. Who asks more within an hour has the oldest computed anew; no
stranger's questions fill the memory with notes, or make the drop behind a rewrite a long one."""

MOST_BYTES = 64 << 20
"""Of the notes that one worker makes on a shard within that time. Whoever asks more has the oldest
answers computed anew: nothing else bounds them on a server that evicts answers."""

ROOM = 256
"""Notes that go at once when the server has no memory for another one."""

NOTE_OVERHEAD = 250
"""Bytes that a note takes besides its name, here or as a member of a sorted set, at most."""

SWEEP_SECONDS = 1800.0
SWEPT_TOGETHER = 8
"""Documents whose notes are deleted in one packet, which the server works off without a pause."""


class Notes:
    """What this worker has noted: bounds it, shard by shard, and sweeps what is old."""

    def __init__(self) -> None:
        self._made: dict[str, deque[tuple[float, bytes, str]]] = defaultdict(deque)
        self._bytes: Counter[str] = Counter()
        self._due: dict[str, float] = {}
        self._sweeping: dict[str, asyncio.Task[None]] = {}

    def add(self, shard: Shard, made: Sequence[tuple[str, str]]) -> list[list[Command]]:
        """Counts keys that have been noted, each with where, and says what to do for it: the
        transactions that drop the oldest answers when there are too many bytes of notes."""
        notes, now = self._made[shard.id], time.monotonic()
        for text, noted in made:
            name = encode(text)  # as text an emoji makes it four times as large
            notes.append((now, name, noted))
            self._bytes[shard.id] += _size(name)
        while notes and notes[0][0] < now - NOTED_SECONDS:
            self._forget_oldest(shard)
        dropping: list[list[Command]] = []
        while self._bytes[shard.id] > MOST_BYTES:
            dropping.append(self._forget_oldest(shard))
        return dropping

    def make_room(self, shard: Shard) -> list[list[Command]]:
        """The transactions that drop the oldest answers of this worker and their notes: the server
        has no memory, and cannot evict notes."""
        notes = self._made[shard.id]
        return [self._forget_oldest(shard) for _ in range(min(ROOM, len(notes)))]

    def _forget_oldest(self, shard: Shard) -> list[Command]:
        _, name, noted = self._made[shard.id].popleft()
        self._bytes[shard.id] -= _size(name)
        return [("KEYMISS.DROP", name), ("ZREM", noted, name)]

    def sweep_when_due(self, shard: Shard) -> None:
        """Deletes the old notes of all workers in the background, now and then."""
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
                continue  # somebody else's
            batch.append(("ZREMRANGEBYSCORE", noted, "-inf", now))
            if len(batch) == SWEPT_TOGETHER:
                await shard.read(batch)
                batch = []
        await shard.read(batch)
    except (TimeoutError, ValkeyError, OSError):
        return  # what is left waits for the next sweep
