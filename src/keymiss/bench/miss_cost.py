"""Measures the computing GET and a question on this machine.

Misses go through the real functions layer with a function that echoes its key. The client is
Python's asyncio on the same cores, so the figures are those of the machine with its client. Bare
GETs of the same server are measured in the same run, in turn with the others.
Writes bench-results/misses.json and prints a table.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import valkey.asyncio

from keymiss.asking.answers import ask
from keymiss.bench.results import write_results
from keymiss.corpus.demo import load_questions
from keymiss.local_stack import running_stack
from keymiss.operating.served_functions import missing_functions
from keymiss.reader.cpu_info import processor_name
from keymiss.server.embedded_server import LOOPBACK, EmbeddedServer, free_port
from keymiss.server.servers import Servers

MISS_ROUNDS = 9
ROUND_SECONDS = 1.0
STORING_APP = """
from keymiss import functions

@functions.on_miss("echo:", cache="1h")
async def echo(misses):
    return [miss.key for miss in misses]
"""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncIterator[list[Connection]]:
    connections = [await asyncio.open_connection(LOOPBACK, port) for _ in range(count)]
    yield connections
    for _, writer in connections:
        writer.close()


async def get(connection: Connection, key: str) -> None:
    reader, writer = connection
    writer.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
    header = await reader.readuntil(b"\r\n")
    if header[:1] != b"$":
        raise RuntimeError(header.decode())
    if header != b"$-1\r\n":
        await reader.readexactly(int(header[1:]) + 2)


async def measure(
    connections: list[Connection], next_key: Callable[[], str]
) -> tuple[float, float]:
    """The p50 latency in ms, and the GETs per second, when all connections ask without a pause."""
    latencies: list[float] = []
    end = time.perf_counter() + ROUND_SECONDS

    async def client(connection: Connection) -> None:
        while (started := time.perf_counter()) < end:
            await get(connection, next_key())
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(client(connection) for connection in connections))
    return 1000 * statistics.median(latencies), len(latencies) / ROUND_SECONDS


async def measure_gets(port: int) -> Iterator[dict[str, float | str]]:
    numbers = itertools.count()
    kinds: dict[str, Callable[[], str]] = {
        "bare": lambda: "stored",
        "hit": lambda: "echo:hit",
        "miss": lambda: f"echo:{next(numbers)}",
    }
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    async with connected(port, 50) as connections:
        for _ in range(MISS_ROUNDS):
            for (kind, next_key), clients in itertools.product(kinds.items(), (1, 50)):
                result = await measure(connections[:clients], next_key)
                found.setdefault((kind, clients), []).append(result)
    return (
        {
            "name": f"{kind}.p50_ms.{clients}",
            "median": statistics.median(p50 for p50, _ in results),
            "min": min(p50 for p50, _ in results),
            "max": max(p50 for p50, _ in results),
            "per_second": statistics.median(rate for _, rate in results),
        }
        for (kind, clients), results in found.items()
    )


async def measure_questions(url: str) -> Iterator[dict[str, float | str]]:
    found: dict[str, list[float]] = {"question.first_ms": [], "question.cached_ms": []}
    async with Servers(url) as servers:
        await ask(servers, "Is everybody connected?")
        for question in load_questions():
            for times in found.values():
                started = time.perf_counter()
                await ask(servers, question.text)
                times.append(1000 * (time.perf_counter() - started))
    return (
        {"name": name, "median": statistics.median(times), "min": min(times), "max": max(times)}
        for name, times in found.items()
    )


async def wait_for_echo(url: str) -> None:
    async with Servers(url) as servers, valkey.asyncio.Valkey.from_url(url) as client:
        while await missing_functions(servers, ["echo"]):
            await asyncio.sleep(0.05)
        await client.mset({"stored": "echo:hit", "echo:hit": "echo:hit"})


def gets() -> list[dict[str, float | str]]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(STORING_APP)
        with EmbeddedServer(Path(folder), free_port(), ("--appendonly", "no")) as server:
            command = [sys.executable, "-m", "keymiss", "worker", "--app", "app"]
            worker = subprocess.Popen([*command, "--url", server.url], cwd=folder)
            asyncio.run(wait_for_echo(server.url))
            results = list(asyncio.run(measure_gets(server.port)))
            worker.terminate()
            worker.wait()
    return results


def questions() -> list[dict[str, float | str]]:
    port = free_port()
    with running_stack(None, port, None, "minilm-qa", demo=True):
        return list(asyncio.run(measure_questions(f"valkey://{LOOPBACK}:{port}")))


def main() -> None:
    rows = [*gets(), *questions()]
    write_results("misses", {"results": rows})
    print(f"{processor_name()}\n\n| | median | min | max | per second |\n|---|---|---|---|---|")
    for row in rows:
        rate = f"{row['per_second']:,.0f}" if "per_second" in row else ""
        spread = " | ".join(f"{row[name]:.3f}" for name in ("median", "min", "max"))
        print(f"| {row['name']} | {spread} | {rate} |")


if __name__ == "__main__":
    main()
