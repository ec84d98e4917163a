"""One function on one shard: attach, take, compute, answer; attach again after a lost connection.

The two kinds of functions differ in their `Consumer`: `MissConsumer` computes missing keys,
`WriteConsumer` follows written ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence

from valkey.exceptions import NoPermissionError, ValkeyError

from keymiss.errors import SetupError
from keymiss.functions.function import Event, Function, Result
from keymiss.functions.function_connection import FunctionConnection, Item
from keymiss.functions.handler_batches import Batches, More
from keymiss.functions.metrics import HANDLED
from keymiss.functions.shard import Shard
from keymiss.keys import decode
from keymiss.server.backoff import Backoff

logger = logging.getLogger(__name__)

FIRST_ATTACH_SECONDS = 0.05
LONGEST_ATTACH_SECONDS = 2.0

Settled = tuple[Item, Result]
"""An item that was taken, and the result to send to the server."""


class Consumer(ABC):
    """Handles the items of one function on one shard.

    Args:
        batches: the calls of the function's handler, which all shards share.
    """

    def __init__(self, function: Function, batches: Batches, shard: Shard) -> None:
        self.function = function
        self.shard = shard
        self.batches = batches
        self._handled = HANDLED.of(function.name, shard.name)

    @abstractmethod
    async def begin(self, connection: FunctionConnection, is_clean: bool) -> None:
        """Does what must be done before the first item is taken.

        Args:
            is_clean: whether all stored values are of the function's version.
        """

    @abstractmethod
    def end(self) -> None:
        """Is called when the connection has been lost or closed."""

    def is_due(self) -> bool:
        """Whether `catch_up` has work, so that a TAKE must not wait."""
        return False

    async def catch_up(self) -> list[Settled]:
        """Handles what was put off, and returns the items that can be acknowledged."""
        return []

    @abstractmethod
    async def settle(
        self, connection: FunctionConnection, items: list[Item], stop: asyncio.Event
    ) -> list[Settled]:
        """Computes items that were taken; items that are put off are not among the results."""

    async def handle(
        self, events: Sequence[Event], more: More | None = None, alone: bool = False
    ) -> list[Result]:
        """Calls the handler, and counts the outcomes. See `Batches.handle`."""
        results = await self.batches.handle(events, more, alone)
        self._handled.count(results)
        return results

    def events(self, items: Sequence[Item]) -> list[Event]:
        """The events that items stand for."""
        return [Event(decode(item.key), self.shard) for item in items]


class TakeLoop:
    """Serves a function on a shard until `stop` is set."""

    def __init__(self, consumer: Consumer, stop: asyncio.Event) -> None:
        self.consumer = consumer
        self.function = consumer.function
        self.ready = asyncio.Event()
        """Set when the function is served, earlier keys included; also when its service ends."""
        self._shard = consumer.shard
        self._stop = stop
        self._backoff = Backoff(FIRST_ATTACH_SECONDS, LONGEST_ATTACH_SECONDS)

    async def serve(self) -> None:
        """Serves, attaches again after each lost connection, and finishes what it has begun.

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
                # Once ready, this passes: a server that loads its file of users gives rights again.
                if isinstance(error, NoPermissionError) and not self.ready.is_set():
                    raise SetupError(
                        f"{self._shard.name}: {self.function.name!r} cannot be served: {error}; "
                        "docs/operations.md lists the users' rights"
                    ) from None
                pause = self._backoff.pause()
                name, shard = self.function.name, self._shard.id
                logger.warning("%s at %s: %s; attaching again in %.2f s", name, shard, error, pause)
                await self._pause(pause)
        self.ready.set()

    async def _serve_once(self) -> None:
        """Serves on one connection, and closes it."""
        connection = FunctionConnection(self._shard.url, self.function)
        try:
            await self.consumer.begin(connection, await connection.attach())
            self.ready.set()
            waking = asyncio.create_task(self._end_take_at_stop(connection))
            try:
                await self._take_and_answer(connection)
            finally:
                waking.cancel()
        finally:
            self.consumer.end()
            connection.close()

    async def _take_and_answer(self, connection: FunctionConnection) -> None:
        settled: list[Settled] = []
        while not self._stop.is_set():
            is_due = self.consumer.is_due()
            settled += await self.consumer.catch_up()
            limit = self.consumer.batches.limit
            items = await connection.exchange(settled, limit, waits=not is_due)
            self._backoff.reset()
            settled = await self.consumer.settle(connection, items, self._stop)
        if settled:
            await connection.exchange(settled, count=0)

    async def _end_take_at_stop(self, connection: FunctionConnection) -> None:
        """Ends a waiting TAKE at `stop`. Closing the connection could lose an item on its way."""
        await self._stop.wait()
        with contextlib.suppress(ValkeyError, OSError):
            await connection.end_take(self._shard)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
