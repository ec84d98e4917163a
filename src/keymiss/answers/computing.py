"""GETs that may have to be computed, and what their errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

from valkey.exceptions import ResponseError, ValkeyError

from keymiss.errors import BadInput, KeymissError, Moving, TooSlow, Unavailable, from_resp
from keymiss.server.routing import Servers

MOVING_SECONDS = 0.1
"""Between two tries of a key whose text is on its way to another node."""

Computed: TypeAlias = bytes | Exception | None
"""The value of a key, or why there is none."""

STORED_SECONDS = 0.5
"""How long what has been computed of a late packet is looked for."""


async def compute(servers: Servers, key: str) -> bytes | None:
    """GETs a key that may have to be computed, for as long as the caller has patience.

    Raises:
        KeymissError: the class that fits what the server says.
    """
    while True:
        try:
            value: bytes | None = await servers.execute("GET", key)
            return value
        except ResponseError as reply:
            error = explain(str(reply))
        if not isinstance(error, Moving):
            raise error
        await asyncio.sleep(MOVING_SECONDS)


async def compute_all(servers: Servers, keys: Sequence[str], seconds: float) -> list[Computed]:
    """GETs keys that may have to be computed, for so many seconds: those of a node in one packet.

    Raises:
        ValkeyError, OSError: no node can be asked where the keys are.
    """
    values: list[Computed] = [None] * len(keys)

    async def compute_some(positions: list[int]) -> None:
        some = await _at_one_node(servers, [keys[position] for position in positions], seconds)
        for position, value in zip(positions, some, strict=True):
            values[position] = value

    groups = await servers.by_owner(keys)
    await asyncio.gather(*map(compute_some, groups.values()))
    return values


async def _at_one_node(servers: Servers, keys: list[str], seconds: float) -> list[Computed]:
    # A connection waits for one miss at a time; the others are to be in the batch of the first.
    begun = [("KEYMISS.PREFETCH", key) for key in keys if len(keys) > 1]
    try:
        async with asyncio.timeout(seconds):
            replies = await servers.execute_all([*begun, *(("GET", key) for key in keys)])
            found = zip(keys, replies[len(begun) :], strict=True)
            return await asyncio.gather(*(_value(servers, key, reply) for key, reply in found))
    except TimeoutError as error:
        stored = await _stored(servers, keys)
        return [error if value is None else value for value in stored]
    except (ValkeyError, OSError) as error:
        return [error] * len(keys)


async def _value(servers: Servers, key: str, reply: Any) -> Computed:
    if not isinstance(reply, ResponseError):
        value: bytes | None = reply
        return value
    error = explain(str(reply))
    if not isinstance(error, Moving):
        return error
    try:
        return await compute(servers, key)
    except KeymissError as failed:
        return failed


async def _stored(servers: Servers, keys: list[str]) -> list[bytes | None]:
    """What of the keys is there: MGET computes nothing."""
    try:
        async with asyncio.timeout(STORED_SECONDS):
            replies = await servers.execute_all([("MGET", key) for key in keys])
    except (TimeoutError, ValkeyError, OSError):
        return [None] * len(keys)
    return [reply[0] if isinstance(reply, list) else None for reply in replies]


_ERRORS: dict[str, type[KeymissError]] = {
    "unavailable": Unavailable,
    "busy": Unavailable,
    "replica": Unavailable,
    "forgotten": Unavailable,
    "timeout": TooSlow,
    "refused": BadInput,
}


def explain(message: str) -> KeymissError:
    """The error class for `KEYMISS <code> <words>`, an error reply of the module's."""
    word, _, rest = message.partition(" ")
    code, _, words = rest.partition(" ")
    if word != "KEYMISS":
        return Unavailable(f"the server refuses: {message}")
    if code == "failed" and (error := from_resp(words)):
        return error
    return _ERRORS.get(code, KeymissError)(f"{code}: {words}")
