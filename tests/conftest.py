"""A real Valkey with the module, and clients that wait in the background."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import valkey

from keymiss.server.embedded import EmbeddedServer, free_port

SHARED = Path(__file__).parents[2] / "shared"
"""Data that a checkout may have beside it; what needs it is skipped elsewhere."""


def in_shared(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("server"), free_port()) as server:
        yield server


@pytest.fixture
def server(running_server: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The server, with nothing in it and no function registered."""
    yield running_server
    with valkey.Valkey(port=running_server.port) as client:
        for function in client.execute_command("KEYMISS.LIST"):
            client.execute_command("KEYMISS.FORGET", function[1])
        client.flushall()


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[valkey.Valkey]:
    with valkey.Valkey(port=server.port, decode_responses=True) as client:
        yield client


Background = Callable[..., "Future[Any]"]


@pytest.fixture
def background() -> Iterator[Background]:
    """Runs a call in a thread of its own; `.result(seconds)` raises what it raised."""
    with ThreadPoolExecutor(128) as pool:
        yield pool.submit


@pytest.fixture
def counters(client: valkey.Valkey) -> Callable[[], dict[str, int]]:
    def read() -> dict[str, int]:
        info = client.info("keymiss")
        return {name.removeprefix("keymiss_"): value for name, value in info.items()}

    return read


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], None]:
    """Waits until a condition holds; fails after three seconds."""

    def wait(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 3
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within three seconds"
            time.sleep(0.005)

    return wait
