"""Starts keymiss's processes for the benches, and asks them over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from keymiss.server.embedded import LOOPBACK

Process = subprocess.Popen[bytes]


class Refused(OSError):
    """The web server answers with another status than 200."""


@contextmanager
def started_process(url: str, *command: str, folder: Path | None = None) -> Iterator[Process]:
    """`keymiss COMMAND --url URL`, in this folder; it is ended afterwards."""
    arguments = [sys.executable, "-m", "keymiss", *command, "--url", url]
    process = subprocess.Popen(arguments, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def processor_ms(process: Process) -> float:
    """The processor time that a process has taken."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connection(http_port: int) -> closing[HTTPConnection]:
    """A connection to the web server, which is closed when the block ends."""
    return closing(HTTPConnection(LOOPBACK, http_port, timeout=20))


def ask(http: HTTPConnection, question: str) -> dict[str, Any]:
    """What is answered.

    Raises:
        OSError, HTTPException: nothing is.
    """
    body = json.dumps({"search": question})
    http.request("POST", "/qasearch", body, {"Content-Type": "application/json"})
    reply = http.getresponse()
    content = reply.read()
    if reply.status != HTTPStatus.OK:
        raise Refused(f"status {reply.status}: {content[:200]!r}")
    answered: dict[str, Any] = json.loads(content)
    return answered


def ask_once(http_port: int, question: str) -> dict[str, Any]:
    """What is answered on a connection of its own, as curl asks; raises what `ask` does."""
    with connection(http_port) as http:
        return ask(http, question)
