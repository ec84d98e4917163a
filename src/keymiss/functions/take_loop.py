"""One function on one shard: attach, walk, take, compute, answer; again after a lost connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

import valkey
from valkey.exceptions import (
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ValkeyError,
)

from keymiss.errors import SetupError, ShardLost
from keymiss.functions.batches import Batches, More
from keymiss.functions.function import Event, Function, Result
from keymiss.functions.function_connection import FunctionConnection, Item
from keymiss.functions.metrics import HANDLED
from keymiss.functions.shard import SCAN_COUNT, Shard
from keymiss.keys import decode
from keymiss.server.topology import ALL_SLOTS, Slots, has_slot_of, raise_unless_elsewhere

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 2.0
AGAIN_SECONDS = 5.0
"""Until written keys that could not be followed are looked at again."""

LOST = (ShardLost, BusyLoadingError)
"""What says that the shard itself is not there."""

FOR_NOW = (
    OutOfMemoryError,
    *(valkey.ConnectionError, valkey.TimeoutError, ConnectionError, TimeoutError),
)
"""Why else a written key could not be followed, which another try may mend."""


class Attachment:
    """A function that is served on a shard until `stop` is set.

    Args:
        batches: the function's, shared by all its attachments.
    """

    def __init__(
        self, function: Function, batches: Batches, shard: Shard, stop: asyncio.Event
    ) -> None:
        self.function = function
        self.ready = asyncio.Event()
        """Set when the function is served, all that was there before included; or will not be."""
        self._batches = batches
        self._shard = shard
        self._stop = stop
        self._handled = HANDLED.of(function.name, shard.name)
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._put_off: dict[str, Item | None] = {}
        """Written keys that are to be followed later, and what is to be acknowledged then: until
        its lease ends we hold it, and when we are gone another worker gets it."""
        self._followed: list[Item] = []
        """What was put off, has been followed since, and is to be acknowledged."""
        self._look_again = 0.0
        self._suspects: list[Item] = []
        """What has cost a worker perhaps, and was handed out while others waited."""

    async def serve(self) -> None:
        """Serves, and attaches again after each lost connection, then finishes what is in hand.

        Raises:
            SetupError: the server will never accept the function.
            Superseded: another version of the function has taken over.
        """
        while not self._stop.is_set():
            try:
                await self._serve_once()
            except (TimeoutError, ValkeyError, OSError) as error:
                if self._stop.is_set():
                    break
                # Later on it passes: rights are given anew while a file of users is loaded.
                if isinstance(error, NoPermissionError) and not self.ready.is_set():
                    raise SetupError(
                        f"{self._shard.name}: {self.function.name!r} cannot be served: {error}; "
                        "docs/operations.md has the users' rights"
                    ) from None
                # Jitter: workers that lost the same server do not come back in the same instant.
                pause = self._retry_seconds * random.uniform(0.5, 1.5)
                logger.warning(
                    "%s at %s: %s; attaching again in %.2f s",
                    self.function.name,
                    self._shard.id,
                    error,
                    pause,
                )
                await self._pause(pause)
                self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)
        self.ready.set()

    async def _serve_once(self) -> None:
        """Serves on one connection, and closes it."""
        connection = FunctionConnection(self._shard.url, self.function)
        try:
            await self._attach(connection)
            if self.function.kind == "WRITE":
                self._shard.followers.add(self.function.name)
            self.ready.set()
            waking = asyncio.create_task(self._end_take_at_stop(connection))
            try:
                await self._take_and_answer(connection)
            finally:
                waking.cancel()
        finally:
            self._shard.followers.discard(self.function.name)
            connection.close()

    async def walk(self, slots: Slots = ALL_SLOTS) -> None:
        """Tells the handler of every key under the prefix, of those that it knows and are gone, and
        of those that it has derived, as far as they are in these slots."""
        wanted = _in_slots(slots)
        known = self.function.known
        gone = {key for key in known(self._shard) if wanted(key)} if known else set()
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

    async def _tell(self, keys: Iterable[str]) -> None:
        await self._handle([Event(key, self._shard) for key in keys])

    async def _attach(self, connection: FunctionConnection) -> None:
        clean = await connection.attach()
        if self.function.kind == "WRITE":
            # After attaching: what is written during the walk is an event.
            await self.walk()
        elif not clean:
            await self._drop_cached()
            await connection.declare_clean()

    async def _take_and_answer(self, connection: FunctionConnection) -> None:
        results: list[tuple[Item, Result]] = []
        while not self._stop.is_set():
            is_due = bool(self._put_off) and time.monotonic() > self._look_again
            if is_due:
                await self._tell(list(self._put_off)[: self.function.batch])
            results += self._acknowledged()
            items = await connection.exchange(results, self._batches.limit, waits=not is_due)
            self._retry_seconds = FIRST_RETRY_SECONDS
            results = []
            lost = [item for item in items if item.event == "overflow"]
            if lost:
                await self.walk()
                results.extend((item, None) for item in lost)
            followed = [item for item in items if item.event != "overflow"]
            results += await self._settle(connection, followed)
            while self._suspects:
                results += await self._settle(connection, [self._suspects.pop()])
        results += self._acknowledged()
        if results:
            await connection.exchange(results, count=0)

    async def _settle(
        self, connection: FunctionConnection, items: list[Item]
    ) -> list[tuple[Item, Result]]:
        """Computes items, and what the server hands out while they wait; what is put off is not
        among the results."""
        alone = _is_suspect(items)

        async def more(room: int) -> list[Event]:
            if self._stop.is_set():
                return []
            further = await connection.exchange([], room, waits=False)
            if _is_suspect(further):
                self._suspects += further
                return []
            items.extend(further)
            return self._events(further)

        asks = self.function.kind == "MISS" and not alone
        results = await self._handle(self._events(items), more if asks else None, alone)
        settled: list[tuple[Item, Result]] = []
        for item, result in zip(items, results, strict=True):
            if self._put_off and (key := decode(item.key)) in self._put_off:
                self._put_off[key] = item
            else:
                settled.append((item, result))
        return settled

    def _events(self, items: Iterable[Item]) -> list[Event]:
        return [Event(decode(item.key), self._shard) for item in items]

    def _acknowledged(self) -> list[tuple[Item, Result]]:
        followed, self._followed = self._followed, []
        return [(item, None) for item in followed]

    async def _handle(
        self, events: list[Event], more: More | None = None, alone: bool = False
    ) -> list[Result]:
        """Computes; a write that could not be followed since the shard is lost makes us attach
        again, one that met with other hindrances is tried again."""
        results = await self._batches.handle(events, more, alone)
        self._handled.count(results)
        if self.function.kind == "WRITE":
            for event, result in zip(events, results, strict=True):
                if isinstance(result, LOST):
                    raise result
                if isinstance(result, FOR_NOW):
                    # At the end: others are tried before it is tried again.
                    self._put_off[event.key] = self._put_off.pop(event.key, None)
                    self._look_again = time.monotonic() + AGAIN_SECONDS
                elif held := self._put_off.pop(event.key, None):
                    self._followed.append(held)
        return results

    async def _end_take_at_stop(self, connection: FunctionConnection) -> None:
        """Closing the connection instead could lose an item that is on its way."""
        await self._stop.wait()
        with contextlib.suppress(ValkeyError, OSError):
            await connection.end_take(self._shard)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _keys(self) -> AsyncIterator[str]:
        for prefix in (self.function.prefix, self.function.derived):
            if prefix:
                async for key in self._shard.keys(prefix):
                    yield key

    async def _drop_cached(self) -> None:
        """Deletes what workers of another version have computed."""
        batch: list[str] = []
        stores = self.function.stores
        async for key in self._shard.keys(self.function.prefix):
            if stores and not stores(key):
                continue
            batch.append(key)
            if len(batch) == SCAN_COUNT:
                await self._drop(batch)
                batch = []
        await self._drop(batch)

    async def _drop(self, keys: Iterable[str]) -> None:
        # One key a command: in a cluster those of one command share a slot.
        for reply in await self._shard.read([("KEYMISS.DROP", key) for key in keys]):
            raise_unless_elsewhere(reply)


def _is_suspect(items: Sequence[Item]) -> bool:
    """Whether the server has handed out a single item since it may have cost a worker."""
    return len(items) == 1 and items[0].is_retried


def _in_slots(slots: Slots) -> Callable[[str], bool]:
    if slots == ALL_SLOTS:
        return lambda key: True
    return lambda key: has_slot_of(slots, key)
