"""Sends commands to the primary that holds the key, on asyncio, for one server or a cluster.

The client library has a router, too. This one keeps the connections of all other nodes when one is
lost, gives each waiting GET its own connection, and lets its caller decide how long to try:
docs/decisions/0013-routing.md.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

from valkey.exceptions import NoPermissionError, ResponseError, ValkeyError

from keymiss.server.backoff import Backoff
from keymiss.server.connection import CONNECT_SECONDS, ServerConnections, raised
from keymiss.server.topology import (
    ASK,
    Primary,
    Topology,
    address_of,
    is_elsewhere,
    node_url,
    parse_topology,
    redirection,
    single_server,
)
from keymiss.server.transactions import Command

FIRST_TRY_SECONDS = 0.02
LONGEST_TRY_SECONDS = 0.25
TOPOLOGY_SECONDS = 5.0
"""How old the known topology may be. After a lost node or a redirection it is asked for at once."""


class Servers:
    """Connections to all primaries behind one URL.

    Args:
        url: the server, or any node of the cluster.
        connections: how many connections each node gets, at most.
    """

    def __init__(self, url: str, connections: int = 256) -> None:
        self._url = url
        self._given = address_of(url)
        self._connections = connections
        self._nodes: dict[tuple[str, int], ServerConnections] = {}
        self._topology: Topology | None = None
        self._known_at = 0.0
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Servers:
        return self

    async def __aexit__(self, *details: object) -> None:
        for connections in self._nodes.values():
            connections.close()
        await asyncio.sleep(0)  # the connections close in the loop's next turn

    async def _send(self, host: str, port: int, commands: Sequence[Command]) -> list[Any]:
        if (host, port) not in self._nodes:
            self._nodes[host, port] = ServerConnections(self._url_of(host, port), self._connections)
        return await self._nodes[host, port].send(commands)

    def _url_of(self, host: str, port: int) -> str:
        return self._url if (host, port) == self._given else node_url(self._url, host, port)

    async def topology(self, after: float = 0.0) -> Topology:
        """Which primaries hold which slots.

        Args:
            after: a topology from before this moment, by time.monotonic(), is asked for again.

        Raises:
            ValkeyError, OSError: no node can be asked.
        """
        if known := self._known_since(after):
            return known
        async with self._asking:
            if known := self._known_since(after):
                return known
            self._topology = await self._ask_any()
            self._known_at = time.monotonic()
            return self._topology

    def _known_since(self, after: float) -> Topology | None:
        known = self._topology
        oldest = max(after, time.monotonic() - TOPOLOGY_SECONDS)
        return known if known and (not known.clustered or self._known_at >= oldest) else None

    async def _ask_any(self) -> Topology:
        places = [self._given]
        if self._topology is not None:
            known = [(each.host, each.port) for each in self._topology.primaries]
            places = [*random.sample(known, len(known)), *places]
        error: Exception = ValkeyError("no node is known")
        for host, port in places:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await self._ask(host, port)
            except (TimeoutError, ValkeyError, OSError) as failed:
                error = failed
        raise error

    async def _ask(self, host: str, port: int) -> Topology:
        """The topology that a node tells; a single server when the user may not ask for it."""
        (reply,) = await self._send(host, port, [("CLUSTER", "SLOTS")])
        if isinstance(reply, NoPermissionError) or "cluster support disabled" in str(reply):
            return single_server(self._url_of(host, port))
        return parse_topology(raised(reply), host)

    async def owner(self, key: str) -> Primary | None:
        """The primary that holds the key's slot; None while no primary does."""
        return (await self.topology()).owner(key)

    async def execute(self, *command: Any) -> Any:
        """The reply to a command whose first argument is its key, from the node that holds it.

        Follows redirections. While the key's node is gone, or no node holds its slot, the command
        is tried again until the caller gives up: use `asyncio.timeout`. On a single server a lost
        connection is an error at once.

        Raises:
            ResponseError: the reply is an error, and does not say that the key is elsewhere.
            ConnectionError: the single server cannot be reached.
        """
        backoff = Backoff(FIRST_TRY_SECONDS, LONGEST_TRY_SECONDS)
        known_after = 0.0
        while True:
            topology = await self.topology(known_after)
            owner = topology.owner(command[1])
            if owner is not None:
                try:
                    return await self.execute_at(owner, *command)
                except ResponseError as error:
                    if not is_elsewhere(error):
                        raise
                except (TimeoutError, ValkeyError, OSError):
                    if not topology.clustered:
                        raise
            known_after = time.monotonic()
            await asyncio.sleep(backoff.pause())

    async def execute_at(self, owner: Primary, *command: Any) -> Any:
        """The reply to a command from this node, or from the one that it redirects to.

        Raises:
            ResponseError: the reply is an error.
            ValkeyError, OSError, TimeoutError: the node cannot be reached.
        """
        (reply,) = await self._send(owner.host, owner.port, [command])
        target = redirection(reply, owner.host) if isinstance(reply, ResponseError) else None
        if target is None:
            return raised(reply)
        word, host, port = target
        if word == ASK:
            return raised((await self._send(host, port, [("ASKING",), command]))[1])
        self._known_at = 0.0
        return raised((await self._send(host, port, [command]))[0])

    async def execute_all(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands, whose first arguments are their keys, errors among them. It
        takes one round trip to each node, and more for keys that are elsewhere, as in `execute`.

        Raises:
            ConnectionError: the single server cannot be reached.
        """
        replies: list[Any] = [None] * len(commands)

        async def execute_some(owner: Primary | None, positions: list[int]) -> None:
            some = [commands[position] for position in positions]
            for position, reply in zip(positions, await self._together(owner, some), strict=True):
                replies[position] = reply

        topology = await self.topology()
        groups: dict[Primary | None, list[int]] = {}
        for position, command in enumerate(commands):
            groups.setdefault(topology.owner(command[1]), []).append(position)
        await asyncio.gather(*(execute_some(*group) for group in groups.items()))
        return replies

    async def _together(self, owner: Primary | None, commands: list[Command]) -> list[Any]:
        replies: list[Any] = [None] * len(commands)
        again = list(range(len(commands)))
        if owner is not None:
            try:
                replies = await self._send(owner.host, owner.port, commands)
                again = [number for number, reply in enumerate(replies) if is_elsewhere(reply)]
            except (TimeoutError, ValkeyError, OSError):
                pass  # each command is tried again below, until the caller gives up
        repeated = await asyncio.gather(*(self._executed(commands[number]) for number in again))
        for number, reply in zip(again, repeated, strict=True):
            replies[number] = reply
        return replies

    async def _executed(self, command: Command) -> Any:
        try:
            return await self.execute(*command)
        except ResponseError as error:
            return error
