"""Limits what strangers may send, and how many of them are served at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keymiss.errors import BadInput, TooLarge, Unavailable
from keymiss.web.problems import problem_response

MAX_BODY_BYTES = 16 * 1024
"""How long a body is, at most: a question has up to 2 kB, and JSON may write a byte as six."""


class BodyLimit:
    """Refuses requests with a larger body, even if they do not announce its length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the body ahead of the application, which then gets it in one piece."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY_BYTES:
                error = TooLarge(f"the body has more than {MAX_BODY_BYTES} bytes")
                await problem_response(error)(scope, receive, send)
                return
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)


class HostNames:
    """Answers only requests whose `Host` is one of these names.

    Any site can let its own name lead to an address of the visitor's machine. Without this check
    the site's page could then read what is served there (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses requests for other names."""
        if scope["type"] == "http":
            sent = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            if _name_of(sent) not in self._names:
                error = BadInput(f"{sent!r} is not served here; `keymiss web --allow-host` adds it")
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _name_of(host: str) -> str | None:
    """A host's name without its port, in lower case."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class OneCookie:
    """Removes all cookies but one, and that one, too, if it is quoted: keymiss never quotes it.

    The framework reads every cookie of every request. The standard library's time for a quoted one
    grows with the square of its length: a request of 64 KB took twenty seconds (CVE-2024-7592).
    """

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app = app
        self._start = name.encode() + b"="

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on with the cookie that is left."""
        if scope["type"] == "http":
            others = [header for header in scope["headers"] if header[0] != b"cookie"]
            sent = [value for name, value in scope["headers"] if name == b"cookie"]
            pairs = (pair.strip() for value in sent for pair in value.split(b";"))
            own = [pair for pair in pairs if pair.startswith(self._start)][:1]
            kept = [(b"cookie", pair) for pair in own if b'"' not in pair]
            scope = {**scope, "headers": [*others, *kept]}
        await self._app(scope, receive, send)


class Turns:
    """Lets a limited number of questions in at a time, as a context manager.

    If all were let in under load, no question would be answered before its deadline.

    Args:
        places: how many questions may be inside at the same time.
        patience: how many seconds a further one waits for its turn before it is refused.
    """

    def __init__(self, places: int, patience: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience = patience

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("too many questions wait for an answer; try again later") from None

    async def __aexit__(self, *details: object) -> None:
        self._places.release()
