"""What metrics cost: misses a second, and the worker's processor time for each, with them over
without, in pairs, by turns. The second says the same with less noise: the worker is what is busy.

Two servers with a worker each, whose function echoes its key, the case in which metrics weigh most;
in one worker counting and timing do nothing. Writes bench-results/metrics.json.

    python bench/metrics_cost.py
"""

from __future__ import annotations

import json
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from module import APP, MISSES, echo_worker, embedded_server, interval, miss_rate, processor

PAIRS = 60
RESULTS = Path("bench-results/metrics.json")
WITHOUT = """
from keymiss.functions import metrics
metrics.Observed.observe = metrics.Counted.count = lambda *arguments: None
"""


def rate_and_cost(port: int, worker: int) -> tuple[float, float]:
    """Misses a second, and nanoseconds that the worker's event loop computes for each."""
    before = computed(worker)
    rate = miss_rate(port)
    return rate, (computed(worker) - before) / (10 * MISSES)


def computed(pid: int) -> int:
    """Nanoseconds on a processor (Linux, Documentation/scheduler/sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def main() -> None:
    rates: list[float] = []
    costs: list[float] = []
    with ExitStack() as stack:
        servers = []
        for app in (APP, WITHOUT + APP):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (folder / "data").mkdir()
            server = stack.enter_context(embedded_server(folder / "data"))
            worker = stack.enter_context(echo_worker(folder, server, app))
            servers.append((server.port, worker.pid))
        for number in range(PAIRS):
            order = (0, 1) if number % 2 else (1, 0)
            measured = {place: rate_and_cost(*servers[place]) for place in order}
            rates.append(measured[0][0] / measured[1][0])
            costs.append(measured[0][1] / measured[1][1])
    record = {"processor": processor(), "pairs": PAIRS}
    for name, ratios in (("throughput_ratio", rates), ("worker_cpu_ratio", costs)):
        low, high = interval(ratios)
        record[name] = round(statistics.median(ratios), 4)
        record[f"{name}_interval"] = [round(low, 4), round(high, 4)]
    print(record)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
