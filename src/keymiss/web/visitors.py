"""Who asks, as far as a cookie says, and which concepts that visitor wants to see no more."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fastapi import Request, Response
from itsdangerous import BadSignature, Signer

from keymiss.errors import BadInput, SetupError
from keymiss.graph.vocabulary import check_id
from keymiss.server.keys import decode, visitor_key
from keymiss.server.routing import Servers

COOKIE = "keymiss_visitor"
DAYS = 30
MOST_EXCLUDED = 100
SHORTEST_SECRET = 16

SECRET = "KEYMISS_SECRET"  # noqa: S105
"""The environment variable of the secret that signs cookies; with `_FILE` behind it, of a file."""


def secret_from_environment() -> str:
    """The secret that signs cookies. A random one where none is given: then visitors are strangers
    to every other web process, and after a restart.

    Raises:
        SetupError: it is too short, or its file cannot be read.
    """
    path = os.environ.get(f"{SECRET}_FILE")
    try:
        secret = Path(path).read_text("utf-8").strip() if path else os.environ.get(SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"the file that {SECRET}_FILE names cannot be read: {error}") from None
    if secret is None:
        return secrets.token_urlsafe()
    if len(secret) < SHORTEST_SECRET:
        raise SetupError(f"{SECRET} has fewer than {SHORTEST_SECRET} characters")
    return secret


class Visitors:
    """Knows visitors by signed random ids.

    Args:
        secret: signs them.
    """

    def __init__(self, secret: str) -> None:
        self._signer = Signer(secret, salt=COOKIE)

    def known(self, request: Request) -> str | None:
        """The id in the request's cookie, None when there is none that we have signed."""
        try:
            return self._signer.unsign(request.cookies.get(COOKIE, "")).decode()
        except (BadSignature, UnicodeDecodeError):
            return None

    def welcome(self, request: Request, response: Response) -> str:
        """The visitor's id; a new one is put into the response's cookie."""
        visitor = self.known(request) or secrets.token_urlsafe(16)
        response.set_cookie(
            COOKIE,
            self._signer.sign(visitor).decode(),
            max_age=DAYS * 86400,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
        return visitor


async def excluded(servers: Servers, visitor: str | None) -> list[str]:
    """The concepts that a visitor has excluded, by id."""
    if visitor is None:
        return []
    return sorted(map(decode, await servers.execute("SMEMBERS", visitor_key(visitor))))


async def exclude(servers: Servers, visitor: str, concept: str) -> None:
    """Excludes a concept from the visitor's searches, for thirty days after the last such wish.

    Raises:
        BadInput: it is no concept's id, or a hundred are excluded.
    """
    check_id(concept)
    key = visitor_key(visitor)
    if await servers.execute("SCARD", key) >= MOST_EXCLUDED:
        raise BadInput(f"{MOST_EXCLUDED} concepts are excluded; include others first")
    await servers.execute("SADD", key, concept)
    await servers.execute("EXPIRE", key, DAYS * 86400)


async def include(servers: Servers, visitor: str, concept: str) -> None:
    """Takes the exclusion of a concept back."""
    await servers.execute("SREM", visitor_key(visitor), concept)
