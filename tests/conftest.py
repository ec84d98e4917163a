"""A real Valkey with the module, and clients that wait in the background."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import valkey

from keymiss import functions
from keymiss.functions import Function
from keymiss.server.embedded_server import EmbeddedServer, free_port

SHARED = Path(__file__).parents[2] / "shared"
"""Data that a checkout may have beside it; what needs it is skipped elsewhere."""


@pytest.fixture(scope="session")
def in_shared() -> Callable[..., Path]:
    """A path below the shared data; the test is skipped when it is not there."""

    def find(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return path

    return find


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


@pytest.fixture
def raw(server: EmbeddedServer) -> Iterator[valkey.Valkey]:
    """A client that gets bytes, as keymiss itself does."""
    with valkey.Valkey(port=server.port) as raw:
        yield raw


@dataclass(frozen=True)
class Stack:
    port: int
    http_port: int

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"


@contextmanager
def serving(*options: str, folder: Path | None = None) -> Iterator[Stack]:
    """`keymiss serve`, started in a folder; it has to end well."""
    stack = Stack(free_port(), free_port())
    ports = ("--port", str(stack.port), "--http-port", str(stack.http_port))
    process = subprocess.Popen(
        [sys.executable, "-m", "keymiss", "serve", *options, *ports],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert process.stdout is not None
    # It says where it is once it can answer.
    assert process.stdout.readline().startswith("Valkey")
    wait_for_http(stack.http)
    yield stack
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    process.stdout.close()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The whole system with the demo articles, as `keymiss serve --demo` runs it."""
    with serving("--demo") as stack:
        yield stack


@pytest.fixture
def empty_stack(tmp_path: Path) -> Iterator[Stack]:
    """The whole system without a document, its data in the test's folder."""
    with serving(folder=tmp_path) as stack:
        yield stack


@pytest.fixture
def word_stack(tmp_path: Path) -> Iterator[Stack]:
    """The same, where sentences are found by their words only."""
    with serving("--vectors", "off", folder=tmp_path) as stack:
        yield stack


@pytest.fixture
def serving_from() -> Callable[[Path], AbstractContextManager[Stack]]:
    """`keymiss serve` in a folder, during a block."""
    return lambda folder: serving(folder=folder)


def wait_for_http(url: str) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            httpx.get(f"{url}/health/live")
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


Background = Callable[..., "Future[Any]"]


@pytest.fixture
def background() -> Iterator[Background]:
    """Runs a call in a thread of its own; `.result(seconds)` raises what it raised."""
    with ThreadPoolExecutor(128) as pool:
        yield pool.submit


GAUGES = {"functions", "workers", "pending", "pending_bytes", "waiting", "stored_bytes"}


@pytest.fixture
def counters(client: valkey.Valkey) -> Callable[[], dict[str, int]]:
    """INFO keymiss; what only ever rises is counted from the beginning of the test."""

    def absolute() -> dict[str, int]:
        info = client.info("keymiss")
        return {name.removeprefix("keymiss_"): value for name, value in info.items()}

    before = absolute()

    def read() -> dict[str, int]:
        seen = absolute()
        return {n: v if n in GAUGES else v - before[n] for n, v in seen.items()}

    return read


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], None]:
    """Waits until a condition holds; fails after ten seconds."""

    def wait(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within ten seconds"
            time.sleep(0.005)

    return wait


@contextmanager
def serving_in_thread(url: str, served: list[Function]) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()
    failed: list[Exception] = []

    def run() -> None:
        try:
            loop.run_until_complete(functions.serve(served, url, stop, ready.set))
        except Exception as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        if failed:
            raise failed[0]
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
    if failed:
        raise failed[0]


@pytest.fixture
def serve(server: EmbeddedServer) -> Iterator[Callable[..., None]]:
    """Serves functions until the test ends; returns when they are attached."""
    with ExitStack() as stack:

        def start(*served: Function, url: str = server.url) -> None:
            stack.enter_context(serving_in_thread(url, list(served)))

        yield start


@pytest.fixture
def serve_for(server: EmbeddedServer) -> Callable[..., AbstractContextManager[None]]:
    """Serves functions during a block."""
    return lambda *each: serving_in_thread(server.url, list(each))
