"""The worker's side of the module's commands, on one connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from valkey.asyncio import ConnectionPool, Valkey
from valkey.exceptions import ResponseError

from keymiss.errors import KeymissError, SetupError
from keymiss.functions.function import Function, Result

logger = logging.getLogger(__name__)

BLOCK_MS = 1000
"""How long a TAKE waits at most."""

REPLY_SECONDS = 5.0
"""A server that is silent for this long after a TAKE should have returned is gone."""

MAX_MESSAGE = 400


class Superseded(KeymissError):
    """Workers of another version serve the function: this one has nothing left to do."""


@dataclass(frozen=True, slots=True)
class Item:
    """A key that TAKE handed out. `id` is empty when nothing is to be acknowledged."""

    event: str
    id: bytes
    key: bytes


class FunctionConnection:
    """A connection that serves one function.

    Answers travel in the same packet as the TAKE that follows them: one round trip a batch.
    """

    def __init__(self, url: str, function: Function) -> None:
        self._function = function
        pool = ConnectionPool.from_url(url, socket_connect_timeout=REPLY_SECONDS)
        # RESP2, whatever the URL says: a push in between would be taken for a reply.
        pool.connection_kwargs["protocol"] = 2
        self._connection = pool.make_connection()

    async def attach(self) -> bool:
        """Registers the function and this connection as its worker.

        Returns whether all stored values are of the function's version; when they may not be, drop
        them and call `declare_clean`.

        Raises:
            SetupError: the server refuses the function, or has no module.
            ConnectionError, TimeoutError, OSError: the server cannot be reached.
        """
        await self._connection.connect()
        await self._connection.send_command("CLIENT", "ID")
        self._client_id: int = await self._read()
        await self._connection.send_command("KEYMISS.SERVE", *self._function.serve_arguments())
        try:
            clean: int = await self._read()
        except ResponseError as error:
            name = self._function.name
            if "unknown command" in str(error):
                raise SetupError("the server has not loaded the module keymiss.so") from None
            if str(error).startswith(("KEYMISS syntax", "KEYMISS denied")):
                raise SetupError(f"the server refuses the function {name!r}: {error}") from None
            raise
        return bool(clean)

    async def declare_clean(self) -> None:
        """Tells the server that no value of an older version is stored any more."""
        arguments = self._function.serve_arguments()
        await self._connection.send_command("KEYMISS.SERVE", *arguments, "CLEAN")
        await self._read()

    async def exchange(self, results: Sequence[tuple[Item, Result]], count: int) -> list[Item]:
        """Sends the results of the last batch and takes the next one.

        Args:
            count: items to take at most; with 0 none.

        Raises:
            Superseded: another version is served.
            ConnectionError, TimeoutError, OSError, ResponseError: attach again.
        """
        commands: list[tuple[Any, ...]] = [_settle(*pair) for pair in results if pair[0].id]
        settled = len(commands)
        if count:
            name = self._function.name
            commands.append(("KEYMISS.TAKE", "COUNT", count, "BLOCK", BLOCK_MS, name))
        await self._connection.send_packed_command(self._connection.pack_commands(commands))
        for _ in range(settled):
            await self._read_settled()
        if not count:
            return []
        try:
            reply = await self._read()
        except ResponseError as error:
            if str(error).startswith("KEYMISS superseded"):
                raise Superseded(f"{self._function.name}: {error}") from None
            raise
        return [Item(event.decode(), id, key) for _, event, id, key in reply]

    async def end_take(self, client: Valkey) -> None:
        """Makes a TAKE that waits on this connection return at once, through another one."""
        await client.client_unblock(self._client_id)

    async def close(self) -> None:
        """Closes the connection; the server gives what it held to another worker."""
        await self._connection.disconnect(nowait=True)

    async def _read_settled(self) -> None:
        try:
            await self._read()
        except ResponseError as error:
            # The clients have their error, and the other results are as good as ever.
            if not str(error).startswith("KEYMISS refused"):
                raise
            logger.error("%s: %s", self._function.name, error)

    async def _read(self) -> Any:
        # read_response has a timeout of its own, which returns None as if that were the reply.
        async with asyncio.timeout(BLOCK_MS / 1000 + REPLY_SECONDS):
            return await self._connection.read_response()


def _settle(item: Item, result: Result) -> tuple[Any, ...]:
    if isinstance(result, Exception):
        message = f"{type(result).__name__}: {result}"
        if isinstance(result, KeymissError):
            message = result.resp
        return ("KEYMISS.FAIL", item.id, message[:MAX_MESSAGE].encode("utf-8", "replace"))
    if result is None:
        return ("KEYMISS.ANSWER", item.id)
    value = result.encode("utf-8", "surrogateescape") if isinstance(result, str) else result
    return ("KEYMISS.ANSWER", item.id, value)
