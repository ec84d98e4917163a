"""The three processes of `keymiss serve`: a Valkey server, a worker, and the web server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import valkey

from keymiss.answering.vector_memory import VectorsMode
from keymiss.corpus.corpus_status import read_status
from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.ingest import ingest
from keymiss.errors import SetupError
from keymiss.function_names import ASKED
from keymiss.graph.vocabulary import DEMO
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary
from keymiss.keys import VECTORS_NOTE
from keymiss.operating.served_functions import missing_functions
from keymiss.server.backoff import Backoff
from keymiss.server.client import Client, connect, primaries_of
from keymiss.server.embedded_server import LOOPBACK, EmbeddedServer, check_port, listens
from keymiss.server.local_cluster import LocalCluster, free_cluster_ports
from keymiss.server.servers import Servers

READY_SECONDS = 60.0
PROCESS_STOP_SECONDS = 10.0
PROCESS_WATCH_SECONDS = 0.2
FIRST_RESTART_SECONDS = 0.1
LONGEST_RESTART_SECONDS = 5.0

EXIT_SETUP = 2
"""The exit status of a command that cannot work as it was called, or as it is installed."""


class Process:
    """`keymiss COMMAND` as a child process that is started again when it ends by itself."""

    def __init__(self, command: str, *arguments: str) -> None:
        self.command = command
        # -P: files in the current folder must not be imported in place of installed modules.
        self._arguments = (sys.executable, "-P", "-m", "keymiss", command, *arguments)
        self._backoff = Backoff(FIRST_RESTART_SECONDS, LONGEST_RESTART_SECONDS)
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        # A separate session, so that Ctrl-C reaches the parent process only, which stops the
        # children in order. Also, Linux gives each session its share of the processors: a reader's
        # threads that wait for each other yield to everything that runs in their session.
        self._process = subprocess.Popen(self._arguments, start_new_session=True)

    def watch(self) -> None:
        """Starts the process again if it has ended; waits longer when it keeps ending soon.

        Raises:
            SetupError: the process ended because it cannot work; it has said why.
        """
        code = self._process.poll()
        if code is None:
            return
        if code == EXIT_SETUP:
            raise SetupError(f"keymiss {self.command} cannot work; see its message above")
        if time.monotonic() - self._started >= LONGEST_RESTART_SECONDS:
            self._backoff.reset()
        print(f"keymiss {self.command} ended with {code}; starting it again", file=sys.stderr)
        time.sleep(self._backoff.pause())
        self._start()

    def stop(self) -> None:
        """Lets the process finish what it has begun; kills it when that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(PROCESS_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True, slots=True)
class Stack:
    """A server, and the worker and the web server for it."""

    server: EmbeddedServer
    processes: Sequence[Process]


@contextmanager
def running_stack(
    data: Path | None,
    port: int,
    http_port: int | None,
    model: str,
    demo: bool,
    precision: str = "auto",
    vectors: VectorsMode = VectorsMode.AUTO,
) -> Iterator[Stack]:
    """Starts everything and yields once questions can be answered.

    Args:
        data: the folder of the server's append-only file; a temporary one when None.
        port: the port of the Valkey server.
        http_port: the port of the web server; None starts no web server.
        model: the reader's model.
        demo: whether to ingest the demo articles.
        precision: the reader's precision.
        vectors: whether sentences are found by their vectors, too.

    Raises:
        SetupError: another server uses the folder, a port is in use, or a part cannot start.
    """
    with ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keymiss-")))
        # The server starts first: "the data is in use" says more than "a port is in use".
        server = stack.enter_context(EmbeddedServer(data, port))
        if http_port is not None:
            check_port(http_port)
        if demo:
            with valkey.Valkey(LOOPBACK, port) as client:
                _ingest_demo(client)
        reader = ("--model", model, "--precision", precision, "--vectors", vectors)
        processes = _started(stack, server.url, data / "cache", reader, http_port)
        if demo:
            _wait_for_vectors(server.url, processes, vectors)
        yield Stack(server, processes)


@contextmanager
def demo_cluster(primaries: int, replicas: int, http_port: int, model: str) -> Iterator[str]:
    """Starts a cluster with the demo articles, a worker and the web server; yields its URL.

    Raises what `running_stack` raises.
    """
    check_port(http_port)
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keymiss-")))
        cluster = LocalCluster(data / "cluster")
        stack.callback(cluster.stop)
        cluster.create(primaries, replicas, free_cluster_ports(primaries * (1 + replicas)))
        with connect(cluster.url) as client:
            _ingest_demo(client)
        processes = _started(stack, cluster.url, data / "cache", ("--model", model), http_port)
        _wait_for_vectors(cluster.url, processes)
        yield cluster.url


def _ingest_demo(client: Client) -> None:
    ingest(client, [ARTICLES])
    store_vocabulary(client, load_vocabulary(DEMO).vocabulary)


def _started(
    stack: ExitStack, url: str, cache: Path, reader: Sequence[str], http_port: int | None
) -> list[Process]:
    """Starts a worker and a web server, which end with the stack; returns when they are ready."""
    worker = Process("worker", "--url", url, "--cache", str(cache), *reader)
    stack.callback(worker.stop)
    processes = [worker]
    if http_port is not None:
        web = Process("web", "--url", url, "--port", str(http_port))
        stack.callback(web.stop)
        processes.append(web)
        _wait_until(lambda: listens(http_port), "the web server", processes)
    _wait_until(lambda: _is_served(url), "the worker", processes)
    return processes


def _wait_for_vectors(
    url: str, processes: Sequence[Process], vectors: VectorsMode = VectorsMode.AUTO
) -> None:
    """Returns when the articles can be found by their meaning: the same questions get the same
    answers from then on."""
    if vectors is VectorsMode.OFF:
        return
    with connect(url) as client:

        def are_made() -> bool:
            note = client.get(VECTORS_NOTE)
            if note is None or b" off: " in note:
                return note is not None
            status = read_status(client)
            waiting = sum(each.info("keymiss")["keymiss_pending"] for each in primaries_of(client))
            return status.with_vectors == status.documents and waiting == 0

        _wait_until(are_made, "the vectors", processes)


def _wait_until(ready: Callable[[], bool], what: str, processes: Sequence[Process]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise SetupError(f"{what} was not ready within {READY_SECONDS:.0f} s")
        for process in processes:
            process.watch()
        time.sleep(PROCESS_WATCH_SECONDS / 4)


def _is_served(url: str) -> bool:
    async def missing() -> list[str]:
        async with Servers(url) as servers:
            return await missing_functions(servers, ASKED)

    return not asyncio.run(missing())


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM has arrived. It is a KeyboardInterrupt, since asyncio lets no ordinary
    exception through from a signal's handler."""


@contextmanager
def stop_signals() -> Iterator[None]:
    """Turns SIGINT and SIGTERM into Interrupted, only once: later signals are ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted

    previous = [signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for each, handler in zip((signal.SIGINT, signal.SIGTERM), previous, strict=True):
            signal.signal(each, handler)


def watch_forever(stack: Stack) -> None:
    """Keeps the processes running until a signal arrives.

    Raises:
        Interrupted: SIGINT or SIGTERM.
        SetupError: the Valkey server has gone, or a process cannot work.
    """
    # The server is not asked: one that is busy, or full of clients, has not gone.
    while not stack.server.has_ended:
        for process in stack.processes:
            process.watch()
        time.sleep(PROCESS_WATCH_SECONDS)
    raise SetupError(f"the Valkey server has gone: {stack.server.last_words()}")
