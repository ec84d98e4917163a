"""A small cluster: two primaries, and a replica of the first one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import valkey

from keymiss.server.embedded_server import EmbeddedServer, free_port
from tests.module.cluster.slots import HALF, SLOTS


@dataclass(frozen=True)
class Node:
    server: EmbeddedServer
    client: valkey.Valkey
    id: str

    def ask(self, *words: Any) -> Any:
        return self.client.execute_command(*words)

    @property
    def role(self) -> str:
        role: str = self.client.info("replication")["role"]
        return role


@dataclass(frozen=True)
class Cluster:
    nodes: list[Node]

    def wait(self, condition: Callable[[], Any], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} seconds"
            time.sleep(0.05)

    def owner(self, slot: int) -> Node:
        """The primary that has the slot."""
        shown = self.nodes[1].ask("CLUSTER", "SLOTS")
        (port,) = (entry[2][1] for entry in shown if entry[0] <= slot <= entry[1])
        return next(node for node in self.nodes if node.server.port == port)

    def replica(self) -> Node:
        return next(node for node in self.nodes if node.role == "slave")

    def is_whole(self) -> bool:
        slots = [node.ask("CLUSTER", "SLOTS") for node in self.nodes]
        ok = all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes)
        return ok and all(sum(len(entry) > 3 for entry in shown) for shown in slots)


@pytest.fixture(scope="session")
def cluster(launcher: Any) -> Iterator[Cluster]:
    launch, _ = launcher
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--appendonly", "no")
    nodes = []
    for _ in range(3):
        server = launch(*options, "--cluster-port", str(free_port()))
        client = valkey.Valkey(port=server.port, decode_responses=True)
        nodes.append(Node(server, client, client.execute_command("CLUSTER", "MYID")))
    first, second, third = nodes
    first.ask("CLUSTER", "ADDSLOTSRANGE", 0, HALF - 1)
    second.ask("CLUSTER", "ADDSLOTSRANGE", HALF, SLOTS - 1)
    # Votes count by epoch: no two primaries may have the same.
    for epoch, node in enumerate(nodes, 1):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
    for node in (second, third):
        bus = node.client.config_get("cluster-port")["cluster-port"]
        first.ask("CLUSTER", "MEET", "127.0.0.1", node.server.port, bus)
    made = Cluster(nodes)
    made.wait(lambda: known(nodes))
    third.ask("CLUSTER", "REPLICATE", first.id)
    made.wait(lambda: third.client.info("replication").get("master_link_status") == "up")
    made.wait(made.is_whole)
    yield made
    for node in nodes:
        node.client.close()


def known(nodes: list[Node]) -> bool:
    return all("cluster_known_nodes:3" in node.ask("CLUSTER", "INFO") for node in nodes)
