"""The worker's side of the module's commands, on one connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from valkey.exceptions import ConnectionError, ResponseError

from keymiss.errors import KeymissError, SetupError, Superseded
from keymiss.functions.function import Function, Result
from keymiss.functions.shard import Shard
from keymiss.server.connection import ServerConnection, open_connection, raised
from keymiss.server.transactions import Command

logger = logging.getLogger(__name__)

BLOCK_MS = 1000
"""How long a TAKE waits at most."""

TAKE_REPLY_SECONDS = 5.0
"""How long a server may be silent after a TAKE should have returned; then it counts as gone."""

MAX_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class Item:
    """A key that TAKE handed out. `id` is empty when there is nothing to acknowledge."""

    event: str
    id: bytes
    key: bytes

    @property
    def is_retried(self) -> bool:
        """Whether an earlier worker of the item was lost or too slow: ids end in the number of the
        attempt."""
        return not self.id.endswith(b"0001")


class FunctionConnection:
    """A connection that serves one function.

    Answers travel in the same packet as the TAKE that follows them: one round trip for each batch.
    """

    def __init__(self, url: str, function: Function) -> None:
        self._url = url
        self._function = function
        self._connection: ServerConnection | None = None

    async def attach(self) -> bool:
        """Registers the function and this connection as its worker.

        Returns whether all stored values are of the function's version. When some may not be, the
        caller drops them and calls `declare_clean`.

        Raises:
            SetupError: the server refuses the function, or has no module.
            ConnectionError, TimeoutError, OSError: the server cannot be reached.
        """
        self._connection = await open_connection(self._url, TAKE_REPLY_SECONDS)
        serve = ("KEYMISS.SERVE", *self._function.serve_arguments())
        # Because of large keys, `maxmemory-clients` would disconnect this client first. When the
        # user or the server does not allow the command, the function is served all the same.
        staying = ("CLIENT", "NO-EVICT", "ON")
        _, self._client_id, reply = await self._send([staying, ("CLIENT", "ID"), serve])
        try:
            clean: int = raised(reply)
        except ResponseError as error:
            name = self._function.name
            if "unknown command" in str(error):
                raise SetupError("the server has not loaded the module keymiss.so") from None
            if str(error).startswith(("KEYMISS syntax", "KEYMISS denied")):
                raise SetupError(f"the server refuses the function {name!r}: {error}") from None
            raise
        return bool(clean)

    async def declare_clean(self) -> None:
        """Tells the server that all stored values are of the function's version."""
        arguments = self._function.serve_arguments()
        raised(*await self._send([("KEYMISS.SERVE", *arguments, "CLEAN")]))

    async def exchange(
        self, results: Sequence[tuple[Item, Result]], count: int, waits: bool = True
    ) -> list[Item]:
        """Sends the results of the last batch and takes the next one.

        Args:
            count: how many items to take at most; 0 takes none.
            waits: whether to wait for the first item, up to `BLOCK_MS`.

        Raises:
            Superseded: another version is served.
            ConnectionError, TimeoutError, OSError, ResponseError: it has failed; attach again.
        """
        commands: list[Command] = [_settle(*pair) for pair in results if pair[0].id]
        settled = len(commands)
        if count:
            name = self._function.name
            block = BLOCK_MS if waits else 0
            commands.append(("KEYMISS.TAKE", "COUNT", count, "BLOCK", block, name))
        replies = await self._send(commands)
        for reply in replies[:settled]:
            self._check_settled(reply)
        if not count:
            return []
        try:
            reply = raised(replies[settled])
        except ResponseError as error:
            if str(error).startswith("KEYMISS superseded"):
                raise Superseded(f"{self._function.name}: {error}") from None
            raise
        return [Item(event.decode(), id, key) for _, event, id, key in reply]

    async def end_take(self, shard: Shard) -> None:
        """Makes a TAKE that waits on this connection return at once. The command goes through the
        shard's connection."""
        await shard.execute("CLIENT", "UNBLOCK", self._client_id)

    def close(self) -> None:
        """Closes the connection; the server gives the items that it held to another worker."""
        if self._connection:
            self._connection.close()

    def _check_settled(self, reply: Any) -> None:
        try:
            raised(reply)
        except ResponseError as error:
            # The clients of that key have got the error, and the other results are good.
            if not str(error).startswith("KEYMISS refused"):
                raise
            logger.error("%s: %s", self._function.name, error)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if not self._connection:
            raise ConnectionError("attach first")
        async with asyncio.timeout(BLOCK_MS / 1000 + TAKE_REPLY_SECONDS):
            return await self._connection.send(commands)


def _settle(item: Item, result: Result) -> tuple[Any, ...]:
    if isinstance(result, Exception):
        message = f"{type(result).__name__}: {result}"
        if isinstance(result, KeymissError):
            message = result.resp
        return ("KEYMISS.FAIL", item.id, message[:MAX_MESSAGE].encode("utf-8", "replace"))
    if result is None:
        return ("KEYMISS.ANSWER", item.id)
    return ("KEYMISS.ANSWER", item.id, result)
