"""GETs keys that may have to be computed, and explains the errors of the server."""

from __future__ import annotations

import asyncio

from valkey.exceptions import ResponseError

from keymiss.errors import BadInput, KeymissError, Moving, TooSlow, Unavailable, from_resp
from keymiss.keys import encode
from keymiss.server.servers import Servers

MOVING_SECONDS = 0.1
"""The pause before a key is tried again, while its text is on its way to another node."""


async def compute(servers: Servers, key: str) -> bytes | None:
    """GETs a key that may have to be computed.

    While the key's text is on its way to another node, the key is tried again; the caller limits
    the time.

    Raises:
        KeymissError: the subclass that fits the server's error.
    """
    while True:
        try:
            value: bytes | None = await servers.execute("GET", encode(key))
            return value
        except ResponseError as reply:
            error = explain(str(reply))
        if not isinstance(error, Moving):
            raise error
        await asyncio.sleep(MOVING_SECONDS)


_ERRORS: dict[str, type[KeymissError]] = {
    "unavailable": Unavailable,
    "busy": Unavailable,
    "replica": Unavailable,
    "flushed": Unavailable,
    "forgotten": Unavailable,
    "timeout": TooSlow,
    "refused": BadInput,
}


def explain(message: str) -> KeymissError:
    """The error that fits `KEYMISS <code> <words>`, an error reply of the module."""
    word, _, rest = message.partition(" ")
    code, _, words = rest.partition(" ")
    if word != "KEYMISS":
        return Unavailable(f"the server refuses: {message}")
    if code == "failed" and (error := from_resp(words)):
        return error
    return _ERRORS.get(code, KeymissError)(f"{code}: {words}")
