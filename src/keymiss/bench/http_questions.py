"""Asks questions over HTTP, one at a time, as a client of the service does."""

from __future__ import annotations

import json
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any

from keymiss.errors import Unavailable
from keymiss.server.embedded_server import LOOPBACK

HTTP_SECONDS = 20.0


def web_connection(http_port: int) -> closing[HTTPConnection]:
    """A connection to the web server, which is closed when the block ends."""
    return closing(HTTPConnection(LOOPBACK, http_port, timeout=HTTP_SECONDS))


def ask(web: HTTPConnection, question: str) -> dict[str, Any]:
    """What `/qasearch` replies.

    Raises:
        Unavailable: the status of the reply is not 200.
        OSError, HTTPException: there is no reply.
    """
    body = json.dumps({"search": question})
    web.request("POST", "/qasearch", body, {"Content-Type": "application/json"})
    reply = web.getresponse()
    content = reply.read()
    if reply.status != HTTPStatus.OK:
        raise Unavailable(f"/qasearch replied {reply.status} to {question!r}: {content[:200]!r}")
    said: dict[str, Any] = json.loads(content)
    return said
