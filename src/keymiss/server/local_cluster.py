"""A cluster of servers on this machine. Its data lies in a folder and outlives the servers."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import valkey
from valkey.exceptions import ValkeyError

from keymiss.errors import BadInput, SetupError
from keymiss.keys import SLOTS
from keymiss.server.embedded_server import (
    LOOPBACK,
    SERVER_PORTS,
    EmbeddedServer,
    check_port,
    free_port,
)
from keymiss.server.topology import Slots, parse_cluster_info, union

SETTLING_SECONDS = 30.0
NODE_TIMEOUT_MS = 2000
"""How long a node must be silent before the others say that it is gone."""

BUS = 10_000
"""How much higher a node's bus port is than its client port (Valkey cluster specification)."""


@dataclass(frozen=True, slots=True)
class LocalNode:
    """A server of the cluster: where it listens, for clients and for other nodes."""

    port: int
    bus: int

    @property
    def name(self) -> str:
        """`host:port`."""
        return f"{LOOPBACK}:{self.port}"

    def client(self) -> valkey.Valkey:
        """A client of this node alone."""
        return valkey.Valkey(LOOPBACK, self.port, decode_responses=True, socket_timeout=10)


class LocalCluster:
    """The cluster whose nodes' data lies in this folder.

    The servers run until `stop`, even when the process that has started them ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "cluster.json"
        self._servers: dict[LocalNode, EmbeddedServer] = {}

    @property
    def nodes(self) -> list[LocalNode]:
        """The nodes of the cluster; empty when it has not been created."""
        if not self._file.exists():
            return []
        return [LocalNode(**node) for node in json.loads(self._file.read_text())]

    @property
    def url(self) -> str:
        """The URL of a node that runs, which is enough for every client."""
        return f"valkey://{self._someone().name}"

    def create(self, primaries: int, replicas: int, ports: Sequence[int]) -> None:
        """Starts servers and makes them a cluster, the slots spread evenly.

        Args:
            replicas: how many replicas each primary has.
            ports: one for each server; the port of its bus is 10,000 higher, or 10,000 lower when
                there is no port so high.

        Raises:
            SetupError: a port is in use, or the cluster cannot be formed; then no server runs.
        """
        if self.nodes:
            raise SetupError(f"there is a cluster in {self._folder} already")
        nodes = [LocalNode(port, _bus(port)) for port in ports[: primaries * (1 + replicas)]]
        for port in _all_ports(nodes):
            check_port(port)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write(nodes)
        try:
            self._form(nodes, primaries)
        except BaseException:
            for server in self._servers.values():
                server.stop()
            self._servers.clear()
            self._file.unlink()
            raise

    def _form(self, nodes: Sequence[LocalNode], primaries: int) -> None:
        self.start()
        bounds = [number * SLOTS // primaries for number in range(primaries + 1)]
        for epoch, node in enumerate(nodes, 1):
            # Votes count by epoch: no two primaries may have the same epoch.
            _ask(node, "SET-CONFIG-EPOCH", epoch)
        for node, (first, end) in zip(nodes, pairwise(bounds), strict=False):
            _ask(node, "ADDSLOTSRANGE", first, end - 1)
        for node in nodes[1:]:
            _ask(nodes[0], "MEET", LOOPBACK, node.port, node.bus)
        self._wait(lambda: all(_known(node) == len(nodes) for node in nodes))
        for number, node in enumerate(nodes[primaries:]):
            _ask(node, "REPLICATE", _ask(nodes[number % primaries], "MYID"))
        self.wait_until_whole()

    def start(self) -> None:
        """Starts the servers that do not run."""
        for node in self.nodes:
            if not is_up(node):
                self.start_node(node)

    def start_node(self, node: LocalNode) -> None:
        """Starts one server."""
        folder = self._folder / str(node.port)
        server = EmbeddedServer(folder, node.port, tuple(self.arguments(node)))
        server.start()
        self._servers[node] = server

    def arguments(self, node: LocalNode) -> list[str]:
        """The arguments that a node's server is started with."""
        options = {
            "cluster-enabled": "yes",
            "cluster-port": str(node.bus),
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            # While one shard is away, questions about the documents of the others are answered.
            "cluster-require-full-coverage": "no",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def stop(self) -> None:
        """Ends all servers; the data stays."""
        for node in self.nodes:
            self._stop_node(node)

    def _stop_node(self, node: LocalNode) -> None:
        with suppress(ValkeyError), node.client() as client:
            client.shutdown(now=True)
        self._wait(lambda: not is_up(node))
        if server := self._servers.pop(node, None):
            server.stop()

    def server(self, node: LocalNode) -> EmbeddedServer:
        """The server of a node that this object has started."""
        return self._servers[node]

    def add(self, port: int, primary: LocalNode | None = None) -> LocalNode:
        """Starts one more server: a replica of a primary, or an empty primary."""
        node = LocalNode(port, _bus(port))
        self._write([*self.nodes, node])
        self.start_node(node)
        _ask(self._someone(), "MEET", LOOPBACK, node.port, node.bus)
        count = len(self.nodes)
        self._wait(lambda: all(_known(each) == count for each in self.nodes if is_up(each)))
        if primary is not None:
            _ask(node, "REPLICATE", _ask(primary, "MYID"))
        self.wait_until_whole()
        return node

    def remove(self, node: LocalNode) -> None:
        """Takes a server without slots out of the cluster, ends it and deletes its data.

        Raises:
            BadInput: the server holds slots.
        """
        entry = self.members()[node]
        if entry.slots:
            count = entry.slots.bit_count()
            raise BadInput(f"{node.name} holds {count} slots; `keymiss cluster reshard` moves them")
        rest = [each for each in self.nodes if each != node]
        self._stop_node(node)
        for other in rest:
            with suppress(ValkeyError):
                _ask(other, "FORGET", entry.id)
        self._write(rest)
        shutil.rmtree(self._folder / str(node.port))

    def members(self) -> dict[LocalNode, Member]:
        """What the cluster says about its nodes."""
        lines = str(_ask(self._someone(), "NODES"))
        by_port = {node.port: node for node in self.nodes}
        members = {}
        for line in lines.splitlines():
            port, member = _parse_member(line)
            if port in by_port:
                members[by_port[port]] = member
        return members

    def wait_until_whole(self) -> None:
        """Waits until all nodes agree that all slots are held and all replicas are in step."""
        self._wait(lambda: all(map(_is_whole, self.nodes)))

    def _someone(self) -> LocalNode:
        for node in self.nodes:
            if is_up(node):
                return node
        raise SetupError(f"no cluster runs in {self._folder}; start it with `keymiss cluster up`")

    def _write(self, nodes: Sequence[LocalNode]) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps([asdict(node) for node in nodes]) + "\n")
        draft.rename(self._file)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SETTLING_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise SetupError(
                    f"the cluster has not settled in {SETTLING_SECONDS:.0f} s; see the servers' "
                    f"logs in {self._folder}"
                )
            time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Member:
    """A node as the cluster sees it. `primary` is the id of a replica's primary, or empty."""

    id: str
    primary: str
    slots: Slots
    up: bool


def is_up(node: LocalNode) -> bool:
    """Whether the node's server answers."""
    try:
        with node.client() as client:
            return bool(client.ping())
    except ValkeyError:
        return False


def free_cluster_ports(count: int) -> list[int]:
    """`count` ports for servers. They and the ports of their buses are all free and different."""
    nodes: list[LocalNode] = []
    while len(nodes) < count:
        port = free_port()
        node = LocalNode(port, _bus(port))
        taken = _all_ports(nodes)
        if node.bus not in SERVER_PORTS or node.port in taken or node.bus in taken:
            continue
        with suppress(SetupError):
            check_port(node.bus)
            nodes.append(node)
    return [node.port for node in nodes]


def _all_ports(nodes: Sequence[LocalNode]) -> list[int]:
    return [port for node in nodes for port in (node.port, node.bus)]


def _bus(port: int) -> int:
    return port + BUS if port + BUS < 1 << 16 else port - BUS


def _parse_member(line: str) -> tuple[int, Member]:
    """The node's port and the node that a line describes (Valkey, CLUSTER NODES)."""
    id, address, flags, primary, *_, link = line.split(" ")[:8]
    # A slot in brackets is moving.
    ranges = [part.partition("-") for part in line.split(" ")[8:] if not part.startswith("[")]
    slots = union((int(first), int(last or first)) for first, _, last in ranges)
    # A node names no link to itself.
    up = "fail" not in flags and (link == "connected" or "myself" in flags)
    return int(address.partition("@")[0].rpartition(":")[2]), Member(
        id, primary.strip("-"), slots, up
    )


def _ask(node: LocalNode, *words: Any) -> Any:
    with node.client() as client:
        return client.execute_command("CLUSTER", *words)


def _facts(node: LocalNode) -> dict[str, str]:
    return parse_cluster_info(_ask(node, "INFO"))


def _known(node: LocalNode) -> int:
    return int(_facts(node)["cluster_known_nodes"])


def _is_whole(node: LocalNode) -> bool:
    facts = _facts(node)
    with node.client() as client:
        replication = client.info("replication")
    in_step = replication.get("master_link_status", "up") == "up"
    whole = facts["cluster_state"] == "ok" and facts["cluster_slots_ok"] == str(SLOTS)
    return whole and in_step
