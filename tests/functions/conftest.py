"""Worker processes that serve an app from a folder, as `keymiss worker --app` does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import valkey

from keymiss.operating.served_functions import parse_list
from keymiss.server.embedded_server import EmbeddedServer

StartWorker = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def workers_of(server: EmbeddedServer) -> Callable[[str], int]:
    def count(function: str) -> int:
        with valkey.Valkey(port=server.port) as client:
            listed = parse_list(client.execute_command("KEYMISS.LIST"))
        workers: int = listed.get(function, {}).get("workers", 0)
        return workers

    return count


@pytest.fixture
def start_worker(
    server: EmbeddedServer, tmp_path: Path, workers_of: Callable[[str], int]
) -> Iterator[StartWorker]:
    """Writes an app, starts a worker for it, and waits until it serves the function."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, function: str = "") -> subprocess.Popen[str]:
        (tmp_path / "app.py").write_text(source)
        before = workers_of(function)
        process = subprocess.Popen(
            [sys.executable, "-m", "keymiss", "worker", "--app", "app", "--url", server.url],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        deadline = time.monotonic() + 10
        while function and workers_of(function) == before:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
