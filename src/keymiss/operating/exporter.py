"""Shows what the servers report as metrics: INFO, `INFO keymiss` and KEYMISS.LIST.

One exporter asks all nodes of a cluster at each scrape; docs/metrics.md has the names and units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import valkey
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from valkey.exceptions import ResponseError, ValkeyError

from keymiss.corpus.corpus_key import check_corpus
from keymiss.errors import KeymissError
from keymiss.keys import BUCKETS, bucket_key, bucket_tag
from keymiss.operating.served_functions import parse_list
from keymiss.server.client import Client, connect
from keymiss.server.topology import node_url, parse_cluster_info, server_name

TIMEOUT_SECONDS = 2.0
"""How long a node may take to reply; Prometheus waits ten seconds for all nodes together."""

GAUGES = {
    "used_memory": "memory_used_bytes",
    "used_memory_rss": "memory_rss_bytes",
    "maxmemory": "memory_max_bytes",
    "mem_fragmentation_ratio": "memory_fragmentation_ratio",
    "connected_clients": "clients",
    "blocked_clients": "clients_blocked",
    "connected_slaves": "replicas",
    "uptime_in_seconds": "uptime_seconds",
}
COUNTERS = {
    "total_commands_processed": "commands",
    "total_connections_received": "connections",
    "rejected_connections": "connections_rejected",
    "keyspace_hits": "keyspace_hits",
    "keyspace_misses": "keyspace_misses",
    "expired_keys": "keys_expired",
    "evicted_keys": "keys_evicted",
    "total_net_input_bytes": "network_input_bytes",
    "total_net_output_bytes": "network_output_bytes",
    "used_cpu_sys": "cpu_system_seconds",
    "used_cpu_user": "cpu_user_seconds",
}
"""Fields of INFO, and their names as metrics, which follow `keymiss_server_`."""

MODULE_GAUGES = {"functions", "workers", "pending", "pending_bytes", "waiting", "stored_bytes"}
FUNCTION_GAUGES = {"workers", "pending"}
FUNCTION_COUNTERS = {
    *("misses", "joined", "taken", "answered", "failed", "timeouts", "busy", "requeued"),
    *("dropped", "unstored"),
}


class ServerCollector(Collector):
    """Asks the server, or all nodes of its cluster, at each scrape.

    Args:
        url: the server, or any node of the cluster.
    """

    def __init__(self, url: str) -> None:
        self._nodes = [url]
        """The nodes of the last scrape; each of them knows the others."""

    def collect(self) -> Iterator[Metric]:
        """The metrics for one scrape of Prometheus."""
        families = _Families()
        for url in self._nodes:
            found = _nodes_of(url, families)
            if found:
                self._nodes = found
                break
        for url in self._nodes:
            _add_node(families, url)
        _add_corpus(families, self._nodes)
        yield from families.all()


class _Families:
    """Metrics by name, each created with its first value."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self._add(GaugeMetricFamily, name, value, labels)

    def counter(self, name: str, value: float, **labels: str) -> None:
        self._add(CounterMetricFamily, name, value, labels)

    def _add(
        self,
        kind: type[GaugeMetricFamily | CounterMetricFamily],
        name: str,
        value: float,
        labels: Mapping[str, str],
    ) -> None:
        if name not in self._families:
            self._families[name] = kind(f"keymiss_{name}", _words(name), labels=list(labels))
        self._families[name].add_metric(list(labels.values()), value)

    def all(self) -> Iterator[Metric]:
        yield from self._families.values()


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _client(url: str) -> valkey.Valkey:
    return valkey.Valkey.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
    )


def _nodes_of(url: str, families: _Families) -> list[str]:
    """The URLs of all nodes that a node knows, which outside a cluster is itself alone; empty when
    it cannot be asked."""
    try:
        with _client(url) as client:
            info = parse_cluster_info(client.execute_command("CLUSTER", "INFO"))
            nodes = client.execute_command("CLUSTER NODES")
    except ResponseError:
        return [url]  # not a cluster
    except (ValkeyError, OSError):
        return []
    families.gauge("cluster_slots_ok", int(info["cluster_slots_ok"]))
    families.gauge("cluster_nodes", int(info["cluster_known_nodes"]))
    addresses = (address.rpartition(":") for address in nodes)
    return [node_url(url, host, int(port)) for host, _, port in addresses]


def _add_node(families: _Families, url: str) -> None:
    node = server_name(url)
    try:
        with _client(url) as client:
            info = client.info()
            module = client.info("keymiss")
            listed = client.execute_command("KEYMISS.LIST") if module else []
    except (ValkeyError, OSError):
        families.gauge("server_up", 0, node=node)
        return
    families.gauge("server_up", 1, node=node)
    families.gauge("server_is_primary", int(info["role"] == "master"), node=node)
    families.gauge("server_keys", info.get("db0", {}).get("keys", 0), node=node)
    for field, name in GAUGES.items():
        families.gauge(f"server_{name}", info.get(field, 0), node=node)
    for field, name in COUNTERS.items():
        families.counter(f"server_{name}", info.get(field, 0), node=node)
    for field, value in module.items():
        name = field.removeprefix("keymiss_")
        add = families.gauge if name in MODULE_GAUGES else families.counter
        add(f"module_{name}", value, node=node)
    for name, function in parse_list(listed).items():
        labels = {"node": node, "function": name}
        for field in FUNCTION_GAUGES:
            families.gauge(f"function_{field}", function[field], **labels)
        for field in FUNCTION_COUNTERS & function.keys():
            families.counter(f"function_{field}", function[field], **labels)


def _add_corpus(families: _Families, nodes: list[str]) -> None:
    """Adds the number of stored documents; adds nothing when it cannot be read."""
    for url in nodes:
        try:
            with connect(url) as client:
                families.gauge("documents", _documents(client))
            return
        except (KeymissError, ValkeyError, OSError):
            continue


def _documents(client: Client) -> int:
    check_corpus(client)
    pipeline = client.pipeline(transaction=False)
    for bucket in range(BUCKETS):
        pipeline.scard(bucket_key(bucket_tag(bucket)))
    return sum(pipeline.execute())
