"""A primary whose keys a worker serves, and how handlers read and write there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from typing import Any

from valkey.asyncio import Valkey
from valkey.exceptions import NoPermissionError, ResponseError, ValkeyError

from keymiss.errors import SetupError, ShardLost
from keymiss.functions.coverage import Coverage
from keymiss.keys import decode
from keymiss.server.client import SCAN_COUNT
from keymiss.server.connection import ServerConnection, open_connection, raised
from keymiss.server.topology import (
    MOVED,
    address_of,
    server_name,
    slots_of_node,
)
from keymiss.server.transactions import Command, Executed, executed, queued

SHARD_REPLY_SECONDS = 3.0
"""How long a server may be silent: it holds up a batch in which other shards have keys, too."""


class Shard:
    """One server that a worker is attached to.

    Args:
        url: the server's URL.
        id: an id that stays the same when a replica takes the primary's place; by default the URL.
    """

    def __init__(self, url: str, id: str = "") -> None:
        self.url = url
        self.name = server_name(url)
        """The server's address and database, as people know them."""
        self.host = address_of(url)[0]
        self._connection: ServerConnection | None = None
        self._connecting = asyncio.Lock()
        self.id = id or url
        self._node = ""
        self.coverage = Coverage()

    async def identify(self) -> None:
        """Learns the ids of the node and of its shard; a promoted replica has the same shard's id.

        Raises:
            SetupError: the user has no right to ask.
            ShardLost: the server cannot be reached.
        """
        node, id = await self.read([("CLUSTER", "MYID"), ("CLUSTER", "MYSHARDID")])
        if isinstance(node, NoPermissionError):
            raise SetupError(f"{self.name}: {node}; docs/operations.md lists the users' rights")
        self._node = decode(raised(node))
        if not isinstance(id, ResponseError):  # Redis before 7.2 has no MYSHARDID
            self.id = decode(raised(id))

    async def look_at_slots(self) -> None:
        """Asks a node of a cluster which slots it holds itself.

        Other nodes hear of a moved slot later. A slot that is wrongly taken for held is searched
        where its keys are not, and then nobody speaks for it.

        Raises:
            ShardLost: the server cannot be reached.
        """
        if not self._node:
            return
        reply = await self.execute("CLUSTER", "SLOTS")
        self.coverage.set_held(slots_of_node(reply, self._node))

    async def execute(self, *command: Any) -> Any:
        """The reply to a command that needs no key.

        Raises:
            ResponseError: the reply is an error.
            ShardLost: the server cannot be reached.
        """
        return raised((await self._sent([command]))[0])

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """The server's keys with this prefix; a key may come more than once."""
        cursor: bytes | int = 0
        while cursor != b"0":
            cursor, keys = await self.execute(
                "SCAN", cursor, "MATCH", _pattern(prefix), "COUNT", SCAN_COUNT
            )
            for key in keys:
                yield decode(key)

    @cached_property
    def client(self) -> Valkey:
        """The client of the library valkey, which has methods for all commands."""
        return Valkey.from_url(self.url)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._connection:
            self._connection.close()
            await asyncio.sleep(0)  # the connection closes in the loop's next turn
        if "client" in vars(self):
            await self.client.aclose()

    async def read(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands, errors among them, in one round trip."""
        replies = await self._send([[command] for command in commands])
        return [reply for (reply,) in replies]

    async def transactions(self, transactions: Sequence[Sequence[Command]]) -> list[Executed]:
        """Executes each of the transactions, all in one round trip."""
        return [executed(replies) for replies in await self._send(list(map(queued, transactions)))]

    async def write(self, transactions: Sequence[Sequence[Command]]) -> list[Executed]:
        """Executes each of the transactions whose slot the server holds, all in one round trip. A
        key that is written before its slot has arrived would be in the way of the key that
        arrives."""
        sent = await self._send_once(list(map(queued, transactions)))
        return [executed(replies) for replies in sent]

    async def _send(self, groups: Sequence[Sequence[Command]]) -> list[list[Any]]:
        """The replies to each group of commands. A group whose key is still on its way to this
        server is sent a second time, with ASKING."""
        results = await self._send_once(groups)
        moved = [number for number, replies in enumerate(results) if _is_moved(replies)]
        again = await self._send_once([[("ASKING",), *groups[number]] for number in moved])
        for number, replies in zip(moved, again, strict=True):
            results[number] = replies[1:]
        return results

    async def _send_once(self, groups: Sequence[Sequence[Command]]) -> list[list[Any]]:
        if not groups:
            return []
        replies = iter(await self._sent([command for group in groups for command in group]))
        return [[next(replies) for _ in group] for group in groups]

    async def _sent(self, commands: Sequence[Command]) -> list[Any]:
        connection = await self._connected()
        try:
            async with asyncio.timeout(SHARD_REPLY_SECONDS):
                return await connection.send(commands)
        except TimeoutError:
            connection.close()
            raise ShardLost(f"{self.name} does not answer") from None
        except ValkeyError as error:
            raise ShardLost(f"{self.name}: {error}") from error

    async def _connected(self) -> ServerConnection:
        async with self._connecting:
            if self._connection and self._connection.is_open:
                return self._connection
            try:
                self._connection = await open_connection(self.url)
            except (TimeoutError, ValkeyError, OSError) as error:
                raise ShardLost(f"{self.name} cannot be reached: {error}") from error
            return self._connection


def _is_moved(replies: Sequence[Any]) -> bool:
    return any(
        isinstance(reply, ResponseError) and str(reply).startswith(MOVED) for reply in replies
    )


def _pattern(prefix: str) -> str:
    special = str.maketrans({letter: f"\\{letter}" for letter in "*?[]^\\"})
    return prefix.translate(special) + "*"
