"""The whole system on a cluster of four primaries and four replicas, with the demo articles."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.ingest import ingest
from keymiss.errors import Unavailable
from keymiss.function_names import ASKED
from keymiss.graph.vocabulary import DEMO
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary
from keymiss.keys import bertqa_key
from keymiss.local_stack import running_stack
from keymiss.operating.served_functions import missing_functions
from keymiss.reader import BUNDLED_MODEL
from keymiss.server.client import Client, connect
from keymiss.server.embedded_server import LOOPBACK, free_port
from keymiss.server.local_cluster import LocalCluster, LocalNode, free_cluster_ports
from keymiss.server.servers import Servers
from tests.cluster.load import Load, expected_answers, wait_for

PRIMARIES = 4


@dataclass
class System:
    cluster: LocalCluster
    http: str
    client: Client
    answers: dict[str, Any] = field(default_factory=dict)
    """What each demo question is answered with while nothing happens."""
    values: dict[str, bytes] = field(default_factory=dict)
    """The same for a function key of each question."""

    @property
    def primaries(self) -> list[LocalNode]:
        """Those that hold slots, the lowest first."""
        members = self.cluster.members()
        holding = [node for node, member in members.items() if member.slots]
        return sorted(holding, key=lambda node: members[node].slots & -members[node].slots)

    def kill(self, node: LocalNode) -> None:
        server = self.cluster.server(node)
        os.kill(server.pid, signal.SIGKILL)
        server.stop()

    def is_served(self) -> bool:
        async def missing() -> bool:
            async with Servers(self.cluster.url) as servers:
                return bool(await missing_functions(servers, ASKED))

        try:
            return not asyncio.run(missing())
        except Unavailable:
            return False


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("cluster")
    cluster = LocalCluster(folder / "data")
    cluster.create(PRIMARIES, 1, free_cluster_ports(2 * PRIMARIES))
    client = connect(cluster.url)
    processes = []
    try:
        ingest(client, [ARTICLES])
        store_vocabulary(client, load_vocabulary(DEMO).vocabulary)
        cache, http_port = folder / "cache", free_port()
        for command in (("worker", "--cache", str(cache)), ("web", "--port", str(http_port))):
            arguments = (sys.executable, "-m", "keymiss", *command, "--url", cluster.url)
            with (folder / command[0]).open("w") as log:
                processes.append(subprocess.Popen(arguments, stderr=log))
        system = System(cluster, f"http://{LOOPBACK}:{http_port}", client)
        wait_for(system.is_served)
        wait_for(lambda: _is_live(system.http))
        system.answers = expected_answers(system.http)
        system.values = {
            key: client.get(key)
            for question, results in system.answers.items()
            for key in [bertqa_key(each["sentencekey"], question) for each in results[:1]]
        }
        yield system
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(15)
        client.close()
        cluster.stop()


@pytest.fixture(scope="session")
def single_server() -> Iterator[str]:
    """The address of a web server for the demo articles on one server, and nothing else."""
    http_port = free_port()
    with running_stack(None, free_port(), http_port, BUNDLED_MODEL, demo=True):
        yield f"http://{LOOPBACK}:{http_port}"


def _is_live(http: str) -> bool:
    try:
        return httpx.get(f"{http}/health/live").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def system(running_system: System) -> Iterator[System]:
    """The system, whole again after each test."""
    yield running_system
    running_system.cluster.start()
    running_system.cluster.wait_until_whole()
    wait_for(running_system.is_served)


@pytest.fixture
def load(system: System) -> Iterator[Load]:
    """Clients that ask all the time, over HTTP and by GET."""
    with Load(system.http, system.cluster.url, system.answers, system.values) as load:
        yield load


@pytest.fixture
def text_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes documents as lines of JSON."""

    def write(lines: list[str]) -> Path:
        path = tmp_path / "articles.jsonl"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
