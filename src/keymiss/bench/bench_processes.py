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

BenchProcess = subprocess.Popen[bytes]

COUNTED_SECONDS = 1.5
"""How long to wait until a worker has sent its counts to the server, which it does every second."""


@contextmanager
def started_process(url: str, *command: str, folder: Path | None = None) -> Iterator[BenchProcess]:
    """Runs `keymiss COMMAND --url URL` in this folder, and ends it afterwards."""
    arguments = [sys.executable, "-m", "keymiss", *command, "--url", url]
    process = subprocess.Popen(arguments, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def processor_ms(process: BenchProcess) -> float:
    """The processor time that a process has taken, in milliseconds."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """The resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def ask_once(http_port: int, question: str) -> dict[str, Any]:
    """The answer over a separate connection, as curl gets it; raises what `ask` raises."""
    with web_connection(http_port) as web:
        return ask(web, question)
