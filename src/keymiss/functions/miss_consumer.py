"""The items of a function that computes missing keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from keymiss.functions.function import Event, MissFunction
from keymiss.functions.function_connection import FunctionConnection, Item
from keymiss.functions.handler_batches import Batches
from keymiss.functions.shard import Shard
from keymiss.functions.take_loop import Consumer, Settled
from keymiss.server.client import SCAN_COUNT
from keymiss.server.topology import raise_unless_elsewhere


class MissConsumer(Consumer):
    """Drops the values of another version, then computes the keys that are asked for."""

    def __init__(self, function: MissFunction, batches: Batches, shard: Shard) -> None:
        super().__init__(function, batches, shard)
        self._stores = function.stores
        self._suspects: list[Item] = []
        """Items that may have killed a worker, and were handed out while other items waited."""

    async def begin(self, connection: FunctionConnection, is_clean: bool) -> None:
        """See `Consumer`."""
        if not is_clean:
            await self._drop_cached()
            await connection.declare_clean()

    def end(self) -> None:
        """See `Consumer`: nothing depends on the connection."""

    async def settle(
        self, connection: FunctionConnection, items: list[Item], stop: asyncio.Event
    ) -> list[Settled]:
        """See `Consumer`; also computes the items that the server hands out meanwhile."""
        settled = await self._compute(connection, items, stop)
        while self._suspects:
            settled += await self._compute(connection, [self._suspects.pop()], stop)
        return settled

    async def _compute(
        self, connection: FunctionConnection, items: list[Item], stop: asyncio.Event
    ) -> list[Settled]:
        alone = _is_suspect(items)

        async def more(room: int) -> list[Event]:
            if stop.is_set():
                return []
            further = await connection.exchange([], room, waits=False)
            if _is_suspect(further):
                self._suspects += further
                return []
            items.extend(further)
            return self.events(further)

        results = await self.handle(self.events(items), None if alone else more, alone)
        return list(zip(items, results, strict=True))

    async def _drop_cached(self) -> None:
        """Drops the values that workers of another version have computed."""
        batch: list[str] = []
        async for key in self.shard.keys(self.function.prefix):
            if self._stores and not self._stores(key):
                continue
            batch.append(key)
            if len(batch) == SCAN_COUNT:
                await self._drop(batch)
                batch = []
        await self._drop(batch)

    async def _drop(self, keys: Iterable[str]) -> None:
        # One key for each command: in a cluster all keys of a command must share a slot.
        for reply in await self.shard.read([("KEYMISS.DROP", key) for key in keys]):
            raise_unless_elsewhere(reply)


def _is_suspect(items: Sequence[Item]) -> bool:
    """Whether the server has handed out a single item because it may have killed a worker."""
    return len(items) == 1 and items[0].is_retried
