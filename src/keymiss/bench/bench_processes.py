"""Starts keymiss's processes for the benches, and asks them over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keymiss.bench.http_questions import ask, web_connection

Process = subprocess.Popen[bytes]

COUNTED_SECONDS = 1.5
"""Until what models have done is counted in the server: workers do so once a second."""


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


def resident_bytes(pid: int) -> int:
    """The memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def ask_once(http_port: int, question: str) -> dict[str, Any]:
    """What is answered on a connection of its own, as curl asks; raises what `ask` does."""
    with web_connection(http_port) as web:
        return ask(web, question)
