"""What the servers say of themselves, as metrics: INFO, `INFO keymiss`, KEYMISS.LIST.

One exporter for all nodes of a cluster. It asks at each scrape and keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import valkey
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from valkey.exceptions import ResponseError, ValkeyError

from keymiss.answers.status import parse_list
from keymiss.server.connecting import connect, nodes_of
from keymiss.server.topology import ALL_SLOTS, Topology, ask_topology_of, server_name

TIMEOUT_SECONDS = 2.0

GAUGES = {
    "used_memory": "memory_used_bytes",
    "maxmemory": "memory_max_bytes",
    "used_memory_rss": "memory_rss_bytes",
    "connected_clients": "clients",
    "blocked_clients": "clients_blocked",
    "connected_slaves": "replicas",
    "instantaneous_ops_per_sec": "commands_per_second",
    "uptime_in_seconds": "uptime_seconds",
    "mem_fragmentation_ratio": "memory_fragmentation_ratio",
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
"""Fields of INFO, and the metrics that they are behind `keymiss_server_`."""

MODULE_GAUGES = ("functions", "workers", "pending", "pending_bytes", "waiting", "stored_bytes")
FUNCTION_GAUGES = ("workers", "pending")
