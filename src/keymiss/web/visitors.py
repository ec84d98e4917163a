"""Knows a visitor by a cookie, which also holds the concepts that the visitor has excluded.

All of this is in the cookie, so that strangers cannot make anything grow on the server.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeSerializer

from keymiss.errors import BadInput, SetupError
from keymiss.graph.vocabulary import check_id

COOKIE = "keymiss_visitor"
DAYS = 30
MOST_EXCLUDED = 30
"""How many concepts a visitor may exclude: a browser keeps 4,096 bytes, an id has at most 64."""

SHORTEST_SECRET = 16

SECRET = "KEYMISS_SECRET"  # noqa: S105
"""The environment variable of the secret that signs cookies. The same name with `_FILE` at its end
names a file that holds the secret."""


def secret_from_environment() -> str:
    """The secret that signs cookies; a random one when no secret is given.

    With a random one, visitors are strangers to every other web process, and after a restart.

    Raises:
        SetupError: the secret is too short, or its file cannot be read.
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


@dataclass(frozen=True, slots=True)
class Visitor:
    """A random id, and the ids of the concepts that the visitor has excluded, sorted."""

    id: str
    excluded: tuple[str, ...] = ()

    def exclude(self, concept: str) -> Visitor:
        """The visitor with one more concept excluded.

        Raises:
            BadInput: the id cannot be a concept's, or thirty concepts are excluded already.
        """
        check_id(concept)
        kept = sorted({*self.excluded, concept})
        if len(kept) > MOST_EXCLUDED:
            raise BadInput(f"{MOST_EXCLUDED} concepts are already excluded; include one first")
        return replace(self, excluded=tuple(kept))

    def include(self, concept: str) -> Visitor:
        """The visitor with one concept not excluded."""
        return replace(self, excluded=tuple(each for each in self.excluded if each != concept))


class Visitors:
    """Knows visitors by signed cookies.

    Args:
        secret: signs the cookies.
    """

    def __init__(self, secret: str) -> None:
        self._serializer = URLSafeSerializer(secret, salt=COOKIE)

    def of(self, request: Request) -> Visitor:
        """The visitor of the request's cookie; a new one if no cookie has a valid signature."""
        try:
            id_, excluded = self._serializer.loads(request.cookies.get(COOKIE, ""))
            return Visitor(id_, tuple(excluded))
        except (BadData, ValueError, TypeError):
            return Visitor(secrets.token_urlsafe(16))

    def remember(self, visitor: Visitor, request: Request, response: Response) -> None:
        """Puts the visitor into the response's cookie."""
        response.set_cookie(
            COOKIE,
            str(self._serializer.dumps([visitor.id, visitor.excluded])),
            max_age=DAYS * 86400,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",
        )
