"""Measures what metrics cost, in turns with and without them.

A pair of turns gives two ratios: of misses a second, and of the worker's processor time for a miss.
The second one says the same with less noise, because the worker is the busy process.

The function echoes its key, the case in which metrics weigh most. One worker stops and starts
counting when a key asks for it: where a process lies in memory changes its speed by some percent,
so two workers would differ by more than is measured. For the same reason, pairs come from several
incarnations of the server and the worker. Writes bench-results/metrics.json.

    python -m keymiss.bench.metrics_cost
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import valkey

from keymiss.bench.module_cost import (
    APP,
    echo_worker,
    embedded_server,
    interval,
    main_thread_ns,
    miss_rate,
)
from keymiss.bench.results import write_results

METRICS_INCARNATIONS = 12
METRICS_PAIRS = 4
"""How many pairs come from one incarnation."""

METRICS_TURNS = 8
"""How many turns each side of a pair has, so that what disturbs one side disturbs the other."""

TURN_MISSES = 4_000
"""How many misses one turn has."""

SWITCHED = (
    APP
    + """
from keymiss.functions import metrics

COUNTING = metrics.Observed.observe, metrics.Counted.count
SWITCH = {"metrics:with": COUNTING, "metrics:without": (lambda *arguments: None,) * 2}

@functions.on_miss("metrics:", cache="off")
async def switch(misses):
    for miss in misses:
        metrics.Observed.observe, metrics.Counted.count = SWITCH[miss.key]
    return [miss.key for miss in misses]
"""
)


def rate_and_cost(port: int, worker: int, metrics: str) -> tuple[float, float]:
    """The misses a second, and the nanoseconds that the worker's event loop computes for each."""
    with valkey.Valkey(port=port) as client:
        client.get(f"metrics:{metrics}")
    before = main_thread_ns(worker)
    rate = miss_rate(port, TURN_MISSES)
    return rate, (main_thread_ns(worker) - before) / TURN_MISSES


def pair(port: int, worker: int) -> tuple[float, float]:
    """The rate with metrics, divided by the rate without; and the same of the cost."""
    turns: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    for turn in range(METRICS_TURNS):
        for metrics in list(turns)[:: 1 if turn % 2 else -1]:
            turns[metrics].append(rate_and_cost(port, worker, metrics))
    counting, still = (
        [statistics.fmean(values) for values in zip(*each, strict=True)] for each in turns.values()
    )
    return counting[0] / still[0], counting[1] / still[1]


def measure(folder: Path) -> list[tuple[float, float]]:
    """The pairs of one incarnation."""
    (folder / "data").mkdir()
    with (
        embedded_server(folder / "data") as server,
        echo_worker(folder, server, SWITCHED) as worker,
    ):
        miss_rate(server.port)
        return [pair(server.port, worker.pid) for _ in range(METRICS_PAIRS)]


def main() -> None:
    ratios: list[tuple[float, float]] = []
    for _ in range(METRICS_INCARNATIONS):
        with tempfile.TemporaryDirectory() as folder:
            ratios += measure(Path(folder))
    record: dict[str, Any] = {"pairs": len(ratios)}
    names = ("throughput_ratio", "worker_cpu_ratio")
    for name, each in zip(names, zip(*ratios, strict=True), strict=True):
        low, high = interval(list(each))
        record[name] = round(statistics.median(each), 4)
        record[f"{name}_interval"] = [round(low, 4), round(high, 4)]
    print(record)
    write_results("metrics", record)


if __name__ == "__main__":
    main()
