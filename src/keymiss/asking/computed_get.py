"""A GET that may have to be computed, and what its errors mean."""

from __future__ import annotations

import asyncio

from valkey.exceptions import ResponseError

from keymiss.errors import BadInput, KeymissError, Moving, TooSlow, Unavailable, from_resp
from keymiss.keys import encode
from keymiss.server.servers import Servers

MOVING_SECONDS = 0.1
"""Between two tries of a key whose text is on its way to another node."""


async def compute(servers: Servers, key: str) -> bytes | None:
    """GETs a key that may have to be computed, for as long as the caller has patience.

    Raises:
        KeymissError: the class that fits what the server says.
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
    """The error class for `KEYMISS <code> <words>`, an error reply of the module's."""
    word, _, rest = message.partition(" ")
    code, _, words = rest.partition(" ")
    if word != "KEYMISS":
        return Unavailable(f"the server refuses: {message}")
    if code == "failed" and (error := from_resp(words)):
        return error
    return _ERRORS.get(code, KeymissError)(f"{code}: {words}")
