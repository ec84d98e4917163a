"""Connections on asyncio: commands go out at once, and their replies come in the same order.

The client library connects: address, TLS, user, database. From then on keymiss itself writes and
reads, since every question goes this way: docs/decisions/0015-connections.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import libvalkey
from valkey.asyncio import Connection, ConnectionPool
from valkey.exceptions import (
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ResponseError,
    ValkeyError,
)

from keymiss.keys import encode
from keymiss.server.transactions import Command

CONNECT_SECONDS = 2.0
"""How long a server may take to accept a connection and the user."""

_NOTHING = object()

_CLASSES: dict[str, type[ValkeyError]] = {
    "LOADING": BusyLoadingError,
    "NOPERM": NoPermissionError,
    "OOM": OutOfMemoryError,
}


@dataclass(slots=True)
class _Sent:
    """Commands that were sent together, and whose replies have not all come."""

    count: int
    arrived: asyncio.Future[list[Any]]
    replies: list[Any] = field(default_factory=list)


class ServerConnection(asyncio.Protocol):
    """A connection. Tasks may share it as long as no task sends a command that blocks."""

    def __init__(self, connection: Connection) -> None:
        # The connection gives up its writer: deleting either would close the transport.
        self._writer = connection._writer
        connection._reader = connection._writer = None
        self._sent: deque[_Sent] = deque()
        self._lost = False
        self._replies = libvalkey.Reader(
            protocolError=InvalidResponse, replyError=_error, notEnoughData=_NOTHING
        )
        self._transport: asyncio.WriteTransport = self._writer.transport
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent, as far as is known."""
        return not self._lost and not self._transport.is_closing()

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands, errors among them, in one round trip.

        Raises:
            ConnectionError: the connection is lost; commands that were sent may have been executed.
            UnicodeEncodeError, TypeError: a part of a command is not text, bytes or a number;
                nothing is sent.
        """
        if not commands:
            return []
        # Packed first: a caller that waits for commands never sent would get another's replies.
        packed = b"".join(map(_packed, commands))
        if not self.is_open:
            raise ConnectionError("the connection is closed")
        sent = _Sent(len(commands), asyncio.get_running_loop().create_future())
        self._sent.append(sent)
        self._transport.write(packed)
        return await sent.arrived

    def close(self) -> None:
        """Closes the connection; the server stops its work for it."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Hands replies to the callers that wait for them."""
        if not self._sent:
            self.close()  # a reply without a request would be taken for the next one
            return
        self._replies.feed(data)
        while self._sent:
            reply = self._replies.gets()
            if reply is _NOTHING:
                return
            first = self._sent[0]
            first.replies.append(reply)
            if len(first.replies) == first.count:
                self._sent.popleft()
                if not first.arrived.done():  # the caller may have been cancelled
                    first.arrived.set_result(first.replies)

    def connection_lost(self, error: Exception | None) -> None:
        """Raises an error in all callers that wait."""
        self._lost = True
        for sent in self._sent:
            if not sent.arrived.done():
                sent.arrived.set_exception(ConnectionError(f"the connection was lost: {error}"))
        self._sent.clear()


async def open_connection(url: str, seconds: float = CONNECT_SECONDS) -> ServerConnection:
    """A connection to the server at this URL.

    Raises:
        ValkeyError, OSError: the server cannot be reached, or refuses the client.
        TimeoutError: the server does not answer in time.
    """
    pool = ConnectionPool.from_url(url)
    # RESP2, whatever the URL says: a push message of RESP3 would be taken for a reply.
    pool.connection_kwargs["protocol"] = 2
    # For its own timeouts the library uses `asyncio.wait_for`. Before Python 3.12 this drops a
    # cancellation that comes just as the awaited call ends: the task would go on for ever.
    pool.connection_kwargs |= {"socket_timeout": None, "socket_connect_timeout": None}
    connection = pool.make_connection()
    try:
        async with asyncio.timeout(seconds):
            await connection.connect()
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, RuntimeError):  # from uvloop, when the server has just hung up
            raise ConnectionError(f"the connection was lost: {error}") from error
        raise
    return ServerConnection(connection)


class ServerConnections:
    """The connections to one server, each lent to one task at a time.

    Args:
        most: how many may be open at the same time; a task that needs one more waits.
    """

    def __init__(self, url: str, most: int) -> None:
        self._url = url
        self._places = asyncio.Semaphore(most)
        self._idle: list[ServerConnection] = []

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands, one of which may block.

        Raises what `open_connection` and `ServerConnection.send` raise.
        """
        async with self._places:
            connection = self._idle_connection() or await open_connection(self._url)
            try:
                replies = await connection.send(commands)
            except BaseException:
                # The server should not work for a caller that has stopped waiting.
                connection.close()
                raise
            self._idle.append(connection)
            return replies

    def _idle_connection(self) -> ServerConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    def close(self) -> None:
        """Closes the connections that are not in use."""
        while connection := self._idle_connection():
            connection.close()


def raised(reply: Any) -> Any:
    """The reply; raises it when it is an error."""
    if isinstance(reply, ValkeyError):
        raise reply
    return reply


def _error(message: str) -> ValkeyError:
    """The library's exception for an error, with the whole message."""
    return _CLASSES.get(message.partition(" ")[0], ResponseError)(message)


def _packed(command: Command) -> bytes:
    # The text of a key may hold bytes that are not UTF-8.
    parts = tuple(encode(part) if isinstance(part, str) else part for part in command)
    packed: bytes = libvalkey.pack_command(parts)
    return packed
