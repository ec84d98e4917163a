"""The items of a function that follows written keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import valkey
from valkey.exceptions import BusyLoadingError, OutOfMemoryError

from keymiss.errors import ShardLost
from keymiss.functions.function import Event, Result, WriteFunction
from keymiss.functions.function_connection import FunctionConnection, Item
from keymiss.functions.handler_batches import Batches, More
from keymiss.functions.shard import Shard
from keymiss.functions.take_loop import Consumer, Settled
from keymiss.keys import decode
from keymiss.server.topology import ALL_SLOTS, Slots, has_slot_of

AGAIN_SECONDS = 5.0
"""How long written keys that could not be followed wait until they are tried again."""

LOST = (ShardLost, BusyLoadingError)
"""The errors that say that the shard itself is away."""

FOR_NOW = (
    OutOfMemoryError,
    *(valkey.ConnectionError, valkey.TimeoutError, ConnectionError, TimeoutError),
)
"""Other errors on written keys that may not occur at the next try."""


class WriteConsumer(Consumer):
    """Walks all keys, then follows the keys that are written."""

    def __init__(self, function: WriteFunction, batches: Batches, shard: Shard) -> None:
        super().__init__(function, batches, shard)
        self._known = function.known
        self._prefixes = [each for each in (function.prefix, function.derived) if each]
        self._put_off: dict[str, Item | None] = {}
        """Written keys that are to be followed later, each with the item to acknowledge then. This
        worker holds the item until its lease ends; when the worker is gone, another one gets it."""
        self._followed: list[Item] = []
        """Items that were put off, have been followed since, and are to be acknowledged."""
        self._look_again = 0.0

    async def begin(self, connection: FunctionConnection, is_clean: bool) -> None:
        """See `Consumer`. A key that is written during the walk becomes an event."""
        await self.walk()
        self.shard.coverage.follow(self.function.name)

    def end(self) -> None:
        """See `Consumer`."""
        self.shard.coverage.unfollow(self.function.name)

    async def walk(self, slots: Slots = ALL_SLOTS) -> None:
        """Tells the handler of all keys in these slots: those under the prefix, those that it has
        derived, and those that it remembers and that are gone."""
        wanted = _in_slots(slots)
        gone = {key for key in self._known(self.shard) if wanted(key)} if self._known else set()
        batch: list[str] = []
        async for key in self._keys():
            if not wanted(key):
                continue
            gone.discard(key)
            batch.append(key)
            if len(batch) == self.function.batch:
                await self._tell(batch)
                batch = []
        await self._tell([*batch, *gone])

    def is_due(self) -> bool:
        """See `Consumer`."""
        return bool(self._put_off) and time.monotonic() > self._look_again

    async def catch_up(self) -> list[Settled]:
        """See `Consumer`."""
        if self.is_due():
            await self._tell(list(self._put_off)[: self.function.batch])
        return self._acknowledged()

    async def settle(
        self, connection: FunctionConnection, items: list[Item], stop: asyncio.Event
    ) -> list[Settled]:
        """See `Consumer`; walks the keys when the server has lost events."""
        lost = [item for item in items if item.event == "overflow"]
        if lost:
            await self.walk()
        settled: list[Settled] = [(item, None) for item in lost]
        written = [item for item in items if item.event != "overflow"]
        results = await self.handle(self.events(written))
        for item, result in zip(written, results, strict=True):
            if self._put_off and (key := decode(item.key)) in self._put_off:
                self._put_off[key] = item
            else:
                settled.append((item, result))
        return settled + self._acknowledged()

    async def handle(
        self, events: Sequence[Event], more: More | None = None, alone: bool = False
    ) -> list[Result]:
        """See `Consumer`. When a key fails because the shard is lost, the loop attaches again. When
        a key fails for another reason that may pass, it is put off."""
        results = await super().handle(events, more, alone)
        for event, result in zip(events, results, strict=True):
            if isinstance(result, LOST):
                raise result
            if isinstance(result, FOR_NOW):
                # It goes to the end, so that others are tried before it is tried again.
                self._put_off[event.key] = self._put_off.pop(event.key, None)
                self._look_again = time.monotonic() + AGAIN_SECONDS
            elif held := self._put_off.pop(event.key, None):
                self._followed.append(held)
        return results

    async def _tell(self, keys: Iterable[str]) -> None:
        await self.handle([Event(key, self.shard) for key in keys])

    def _acknowledged(self) -> list[Settled]:
        followed, self._followed = self._followed, []
        return [(item, None) for item in followed]

    async def _keys(self) -> AsyncIterator[str]:
        for prefix in self._prefixes:
            async for key in self.shard.keys(prefix):
                yield key


def _in_slots(slots: Slots) -> Callable[[str], bool]:
    if slots == ALL_SLOTS:
        return lambda key: True
    return lambda key: has_slot_of(slots, key)
