"""A client for one URL, of a server or of a cluster, for programs that may block."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import valkey
from valkey.cluster import ClusterNode, ValkeyCluster
from valkey.exceptions import ResponseError, ValkeyClusterException, ValkeyError

from keymiss.server.backoff import Backoff
from keymiss.server.topology import ASK, MOVED, is_elsewhere, redirection
from keymiss.server.transactions import Command, Executed, executed, queued

Client: TypeAlias = valkey.Valkey | ValkeyCluster

TRANSACTION_SECONDS = 60.0
"""How long a transaction is tried again while its node is gone, or its slot moves."""

SCAN_COUNT = 1000
"""How many keys one SCAN looks at: a few milliseconds of the server's time."""

FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 1.0

REPLICA_MS = 1000
"""How long a batch waits, at most, until a replica has it, too."""

Transaction: TypeAlias = tuple[str, Sequence[Command]]
"""One of the transaction's keys, and its commands."""


def connect(url: str) -> Client:
    """A client of the server, or of the cluster that it belongs to.

    Raises:
        ValkeyError: the server cannot be reached, or refuses the client.
    """
    client = valkey.Valkey.from_url(url)
    client.ping()
    try:
        client.execute_command("CLUSTER", "SLOTS")
    except ResponseError:
        return client  # not a cluster, or this user may not ask
    client.close()
    return ValkeyCluster.from_url(url)


def nodes_of(client: Client) -> list[tuple[str, valkey.Valkey]]:
    """All servers behind the client at present, replicas too, each with its address and a client,
    which may not be connected yet."""
    if isinstance(client, valkey.Valkey):
        return [("", client)]
    _look_again(client)
    return [(node.name, client.get_valkey_connection(node)) for node in client.get_nodes()]


def primaries_of(client: Client) -> list[valkey.Valkey]:
    """All servers behind the client that hold slots at present."""
    if isinstance(client, valkey.Valkey):
        return [client]
    _look_again(client)
    return [client.get_valkey_connection(node) for node in client.get_primaries()]


def a_slot_of_each(client: Client) -> list[int]:
    """One slot that each of the primaries holds."""
    if isinstance(client, valkey.Valkey):
        return [0]
    slots: dict[str, int] = {}
    for slot, nodes in client.nodes_manager.slots_cache.items():
        slots.setdefault(nodes[0].name, slot)
    return list(slots.values())


def addresses_of_primaries(client: Client) -> frozenset[str]:
    """The addresses of all primaries at present. Only a failover or moved slots change them."""
    if isinstance(client, valkey.Valkey):
        return frozenset()
    client.nodes_manager.initialize()
    return frozenset(node.name for node in client.get_primaries())


def execute_transactions(client: Client, transactions: Sequence[Transaction]) -> list[Executed]:
    """Executes each of the transactions, in one round trip to each node.

    In a cluster, transactions whose node is gone, or whose slot moves to another node, are tried
    again. When a node has replicas, the call waits until one replica has the batch.

    Raises:
        ConnectionError: the single server cannot be reached.
    """
    if isinstance(client, valkey.Valkey):
        return _pipelined(client, transactions)
    results: list[Executed] = [ResponseError("not tried")] * len(transactions)
    pending = list(range(len(transactions)))
    give_up = time.monotonic() + TRANSACTION_SECONDS
    backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
    while pending:
        for number, result in _at_their_nodes(client, transactions, pending):
            results[number] = result
        pending = [number for number in pending if is_elsewhere(results[number])]
        if not pending or time.monotonic() > give_up:
            break
        time.sleep(backoff.pause())
        _look_again(client)
    return results


def _look_again(client: ValkeyCluster) -> None:
    try:
        client.nodes_manager.initialize()
    except (ValkeyError, ValkeyClusterException):
        return  # no node can say at present


def _at_their_nodes(
    client: ValkeyCluster, transactions: Sequence[Transaction], numbers: Sequence[int]
) -> list[tuple[int, Executed]]:
    groups: dict[str, tuple[ClusterNode | None, list[int]]] = {}
    for number in numbers:
        node = _node_of(client, transactions[number][0])
        groups.setdefault(node.name if node else "", (node, []))[1].append(number)

    def run(node: ClusterNode | None, some: list[int]) -> list[tuple[int, Executed]]:
        chosen = [transactions[number] for number in some]
        return list(zip(some, _at_node(client, node, chosen), strict=True))

    with ThreadPoolExecutor(len(groups)) as pool:
        done = pool.map(lambda group: run(*group), groups.values())
        return [each for some in done for each in some]


def _node_of(client: ValkeyCluster, key: str) -> ClusterNode | None:
    try:
        node: ClusterNode = client.get_node_from_key(key)
        return node
    except ValkeyError:
        return None


def _at_node(
    client: ValkeyCluster, node: ClusterNode | None, transactions: Sequence[Transaction]
) -> list[Executed]:
    gone: list[Executed] = [ResponseError("CLUSTERDOWN the node is gone")] * len(transactions)
    if node is None:
        return gone
    nodes = client.nodes_manager.slots_cache.get(client.keyslot(transactions[0][0]), [])
    try:
        connection = client.get_valkey_connection(node)
        results = _pipelined(connection, transactions, replicas=len(nodes) > 1)
    except (ValkeyError, OSError):
        return gone
    for number, result in enumerate(results):
        target = redirection(result, node.host) if isinstance(result, ResponseError) else None
        if target and target[0] == ASK:
            results[number] = _asking(client, target[1:], transactions[number])
    return results


def _asking(client: ValkeyCluster, place: tuple[str, int], transaction: Transaction) -> Executed:
    node = client.get_node(*place)
    if node is None:
        return ResponseError(f"{MOVED} to a node that is not known yet")
    pipeline = client.get_valkey_connection(node).pipeline(transaction=False)
    for command in (("ASKING",), *queued(transaction[1])):
        pipeline.execute_command(*command)
    return executed(pipeline.execute(raise_on_error=False)[1:])


def _pipelined(
    client: valkey.Valkey, transactions: Sequence[Transaction], replicas: bool = False
) -> list[Executed]:
    if not transactions:
        return []
    pipeline = client.pipeline(transaction=False)
    for _, commands in transactions:
        for command in queued(commands):
            pipeline.execute_command(*command)
    if replicas:
        pipeline.execute_command("WAIT", 1, REPLICA_MS)
    replies = iter(pipeline.execute(raise_on_error=False))
    return [
        executed([next(replies) for _ in range(len(commands) + 2)]) for _, commands in transactions
    ]
