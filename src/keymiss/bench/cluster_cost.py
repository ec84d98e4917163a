"""Measures what a question costs on one shard and on more, and how long failovers and moves take.

Clusters of 1, 2, 4 and 8 primaries run side by side on this machine, and one more of 8 whose
primaries have an address each. Every cluster has its own worker and web server; a fake reader
answers without reading. The clusters are asked in turn, some questions each time.
Writes bench-results/cluster.json and prints a table.

    python -m keymiss.bench.cluster_cost [--rounds 8]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from keymiss.bench.bench_processes import BenchProcess, ask_once, processor_ms, started_process
from keymiss.bench.http_questions import ask, web_connection
from keymiss.bench.results import write_results
from keymiss.bench.stopwatch import milliseconds
from keymiss.corpus.demo import ARTICLES, load_questions
from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.ingest import ingest
from keymiss.corpus.sentences import cut_text
from keymiss.errors import Unavailable
from keymiss.server.client import connect
from keymiss.server.embedded_server import LOOPBACK, free_port
from keymiss.server.local_cluster import LocalCluster, LocalNode, free_cluster_ports
from keymiss.server.resharding import Move, move_slots
from keymiss.server.topology import slot_ranges

SHARD_COUNTS = (1, 2, 4, 8)
TURN_QUESTIONS = 15
"""How many questions one system gets before the next one's turn. The processors' caches hold the
data of one of the five systems only."""

SHUFFLED_DOCUMENTS = 2_000
DOCUMENT_SENTENCES = 20
BENCH_FOLDER = Path(__file__).parent
ECHO = ("--app", "keymiss.bench.fake_app")
CLUSTER_QUESTIONS = [question.text for question in load_questions()]


@dataclass(frozen=True, slots=True)
class System:
    """A cluster with its worker and its web server."""

    cluster: LocalCluster
    shards: int
    hosts: int
    http_port: int
    web: BenchProcess

    def ask(self, question: str) -> dict[str, Any]:
        return ask_once(self.http_port, question)


def write_articles(path: Path) -> None:
    """Writes documents of shuffled sentences, so many that questions have candidates everywhere."""
    sentences = [
        sentence
        for _, reads in read_files([ARTICLES])
        for document in reads
        if isinstance(document, Document)
        for sentence in cut_text(document.paragraphs).sentences
    ]
    mixed = random.Random(11)
    with path.open("w", encoding="utf-8") as file:
        for number in range(SHUFFLED_DOCUMENTS):
            text = " ".join(mixed.choices(sentences, k=DOCUMENT_SENTENCES))
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")


class OnHosts(LocalCluster):
    """A cluster in which each node has a different address, as if it were on another host."""

    def arguments(self, node: LocalNode) -> list[str]:
        """The arguments of any node, and the node's address."""
        own = f"127.0.1.{1 + self.nodes.index(node)}"
        addresses = ["--bind", LOOPBACK, own, "--cluster-announce-ip", own]
        return [*super().arguments(node), *addresses]


@contextmanager
def running(
    shards: int, replicas: int, articles: Sequence[Path], *worker: str, apart: bool = False
) -> Iterator[System]:
    """A cluster that holds these articles, with a web server, and a worker with these arguments.

    Args:
        apart: whether each shard seems to be on a different host.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = OnHosts(folder) if apart else LocalCluster(folder)
        stack.callback(cluster.stop)
        cluster.create(shards, replicas, free_cluster_ports(shards * (1 + replicas)))
        with connect(cluster.url) as client:
            ingest(client, articles)
        port = free_port()
        stack.enter_context(started_process(cluster.url, "worker", *worker))
        web = stack.enter_context(started_process(cluster.url, "web", "--port", str(port)))
        system = System(cluster, shards, shards if apart else 1, port, web)
        wait_for(lambda: _is_ready(system))
        yield system


def _is_ready(system: System) -> bool:
    try:
        return bool(system.ask("virus")["complete"])
    except (OSError, HTTPException, Unavailable):
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not become true in {seconds} seconds")
        time.sleep(0.02)


# ---- latency ----


def latencies(systems: Sequence[System], rounds: int) -> list[dict[str, float]]:
    """The median milliseconds of a question that nobody has asked before, and of its repetition.

    Both come over one connection. The web server's processor time is the mean of both.
    """
    first: list[list[float]] = [[] for _ in systems]
    again: list[list[float]] = [[] for _ in systems]
    spent = [processor_ms(system.web) for system in systems]
    for round_ in range(rounds):
        some = [
            f"{question} ({round_})"
            for question in CLUSTER_QUESTIONS[round_ % 2 :: 2][:TURN_QUESTIONS]
        ]
        for number, system in enumerate(systems):
            with web_connection(system.http_port) as web:
                web.connect()
                for times in (first, again):
                    times[number] += [milliseconds(ask, web, question) for question in some]
    return [
        {
            "shards": system.shards,
            "hosts": system.hosts,
            "web_p50_ms": round(statistics.median(first[number]), 2),
            "cached_p50_ms": round(statistics.median(again[number]), 2),
            "web_cpu_ms": round(
                (processor_ms(system.web) - spent[number]) / rounds / TURN_QUESTIONS / 2, 2
            ),
        }
        for number, system in enumerate(systems)
    ]


def extrapolated(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Extrapolates to 16 and 64 shards, each on a different host.

    Each shard does its own work, so only the web server's work grows with them. It is taken from
    the line through its processor times for one shard and for eight with different addresses.
    """
    apart = [row for row in rows if row["hosts"] == row["shards"]]
    shards = [row["shards"] for row in apart]
    slope, base = statistics.linear_regression(shards, [row["web_cpu_ms"] for row in apart])
    alone = apart[0]["web_p50_ms"]
    return [
        {
            "shards": count,
            "web_p50_ms": round(alone + slope * (count - 1), 2),
            "web_cpu_ms": round(base + slope * count, 2),
        }
        for count in (16, 64)
    ]


# ---- failover and moving slots ----


@dataclass
class Prober:
    """Asks all the time, and records when an answer came and whether it was complete."""

    system: System
    replies: list[tuple[float, float, bool]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[Prober]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        time.sleep(0.5)
        yield self
        time.sleep(2)
        self._stop.set()
        thread.join()

    def _ask(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            started = time.monotonic()
            try:
                complete = self.system.ask(f"{CLUSTER_QUESTIONS[number % 60]} [{number}]")[
                    "complete"
                ]
            except (OSError, HTTPException, Unavailable):
                complete = False
            self.replies.append((started, time.monotonic(), bool(complete)))

    def incomplete_s(self) -> float:
        return round(sum(end - start for start, end, complete in self.replies if not complete), 2)


def recovery(system: System) -> float:
    """Seconds from the death of a primary until a question is answered completely again."""
    victim = next(node for node, member in system.cluster.members().items() if member.slots)
    prober = Prober(system)
    with prober.asking():
        killed = time.monotonic()
        os.kill(system.cluster.server(victim).pid, signal.SIGKILL)
        system.cluster.server(victim).stop()
        wait_for(lambda: prober.replies[-1][0] > killed and prober.replies[-1][2])
        recovered = prober.replies[-1][1]
    system.cluster.start()
    system.cluster.wait_until_whole()
    return round(recovered - killed, 2)


def moving(system: System, move: Callable[[LocalCluster, Move], None]) -> dict[str, float]:
    """Moves half of a primary's slots to another one and back, and measures the time."""
    members = system.cluster.members()
    source, target = [node for node, member in members.items() if member.slots][:2]
    first, last = slot_ranges(members[source].slots)[0]
    slots = members[source].slots & (1 << (first + last) // 2) - 1
    prober = Prober(system)
    with prober.asking():
        started = time.monotonic()
        move(system.cluster, Move(source, target, slots))
        move(system.cluster, Move(target, source, slots))
        took = time.monotonic() - started
    return {
        "slots": 2 * slots.bit_count(),
        "seconds": round(took, 2),
        "incomplete_s": prober.incomplete_s(),
        "questions": len(prober.replies),
    }


def atomically(cluster: LocalCluster, move: Move) -> None:
    move_slots(cluster, [move])


def classically(cluster: LocalCluster, move: Move) -> None:
    """Moves slot by slot and key by key, as resharding tools before Valkey 9 do it."""
    members = cluster.members()
    ids = {node: members[node].id for node in (move.source, move.target)}
    with move.source.client() as here, move.target.client() as there:
        for first, last in slot_ranges(move.slots):
            for slot in range(first, last + 1):
                there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[move.source])
                here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[move.target])
                while keys := here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
                    where = (LOOPBACK, move.target.port, "", 0, 5000)
                    here.execute_command("MIGRATE", *where, "KEYS", *keys)
                for client in (there, here):
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[move.target])
    cluster.wait_until_whole()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        articles = Path(folder) / "articles.jsonl"
        write_articles(articles)
        with ExitStack() as stack:
            systems = [
                stack.enter_context(running(shards, 0, [articles], *ECHO, apart=apart))
                for shards, apart in (
                    *((shards, False) for shards in SHARD_COUNTS),
                    (SHARD_COUNTS[-1], True),
                )
            ]
            latencies(systems, 1)
            rows = latencies(systems, arguments.rounds)
        with running(4, 1, [articles], *ECHO) as system:
            results = {
                "documents": SHUFFLED_DOCUMENTS,
                "sentences": SHUFFLED_DOCUMENTS * DOCUMENT_SENTENCES,
                "latency": rows,
                "extrapolated": extrapolated(rows),
                "recovery_s": recovery(system),
                "atomic": moving(system, atomically),
                "classic": moving(system, classically),
            }
    write_results("cluster", results)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
