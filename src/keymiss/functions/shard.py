"""A primary whose keys a worker serves, and how handlers read there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from valkey.asyncio import Valkey
from valkey.exceptions import ResponseError

from keymiss.server.keys import encode
from keymiss.server.topology import ALL_SLOTS, MOVED, Slots, has_slot_of, server_name
from keymiss.server.transactions import Command, Executed, executed, queued


class Shard:
    """One server that a worker is attached to.

    Args:
        url: the server's.
        client: for reading there.
        id: what stays the same when a replica takes the primary's place; the URL when empty.
        owned: the slots that the server holds; all of them outside a cluster.
    """

    def __init__(self, url: str, client: Valkey, id: str = "", owned: Slots = ALL_SLOTS) -> None:
        self.url = url
        self.name = server_name(url)
        """The server's address and database, as people know it."""
        self.client = client
        self.id = id or url
        self.owned = owned
        self.slots: Slots = 0
        """The slots that functions on written keys have been told all keys of. A slot that has
        gone to another server stays for a while, until that one's workers know its keys."""
        self.changed = asyncio.Event()
        """Set when the server holds other slots."""
        self.arrived: Slots = 0
        """Those that have come, or come back, and have not been looked at since."""
        self.is_settled = True
        """Whether functions on written keys know of the keys in these slots and of no others."""

    def own(self, slots: Slots) -> None:
        """Notes which slots the server holds."""
        if slots != self.owned:
            self.arrived |= slots & ~self.owned
            self.owned = slots
            self.is_settled = False
            self.changed.set()

    def owns(self, key: str) -> bool:
        """Whether the server holds the key's slot."""
        return has_slot_of(self.owned, key)

    def covers(self, key: str) -> bool:
        """Whether the key's slot is one of `slots`."""
        return has_slot_of(self.slots, key)

    async def read(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands, errors among them, in one round trip."""
        replies = await self._send([[command] for command in commands])
        return [reply for (reply,) in replies]

    async def transactions(self, transactions: Sequence[Sequence[Command]]) -> list[Executed]:
        """Executes each of the transactions, all in one round trip."""
        return [executed(replies) for replies in await self._send(list(map(queued, transactions)))]

    async def _send(self, groups: Sequence[Sequence[Command]]) -> list[list[Any]]:
        """The replies to each group of commands, which is sent a second time, with ASKING, where
        the key is still on its way to this server."""
        results = await self._send_once(groups)
        moved = [number for number, replies in enumerate(results) if _is_moved(replies)]
        again = await self._send_once([[("ASKING",), *groups[number]] for number in moved])
        for number, replies in zip(moved, again, strict=True):
            results[number] = replies[1:]
        return results

    async def _send_once(self, groups: Sequence[Sequence[Command]]) -> list[list[Any]]:
        if not groups:
            return []
        pipeline = self.client.pipeline(transaction=False)
        for group in groups:
            for command in group:
                pipeline.execute_command(*map(_encoded, command))
        replies = iter(await pipeline.execute(raise_on_error=False))
        return [[next(replies) for _ in group] for group in groups]


def _is_moved(replies: Sequence[Any]) -> bool:
    return any(
        isinstance(reply, ResponseError) and str(reply).startswith(MOVED) for reply in replies
    )


def _encoded(part: Any) -> Any:
    """Text of keys may hold bytes that are no UTF-8."""
    return encode(part) if isinstance(part, str) else part
