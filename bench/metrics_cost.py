"""What metrics cost: misses a second with them over without, in pairs, by turns.

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

from module import APP, echo_worker, embedded_server, interval, miss_rate, processor

PAIRS = 30
RESULTS = Path("bench-results/metrics.json")
WITHOUT = """
import prometheus_client
for kind, method in ((prometheus_client.Counter, "inc"), (prometheus_client.Histogram, "observe")):
    setattr(kind, method, lambda *arguments: None)
"""


def main() -> None:
    ratios = []
    with ExitStack() as stack:
        servers = []
        for app in (APP, WITHOUT + APP):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (folder / "data").mkdir()
            server = stack.enter_context(embedded_server(folder / "data"))
            stack.enter_context(echo_worker(folder, server, app))
            servers.append(server)
        for number in range(PAIRS):
            order = (0, 1) if number % 2 else (1, 0)
            rates = {place: miss_rate(servers[place].port) for place in order}
            ratios.append(rates[0] / rates[1])
    low, high = interval(ratios)
    record = {
        "processor": processor(),
        "throughput_ratio": round(statistics.median(ratios), 4),
        "interval": [round(low, 4), round(high, 4)],
    }
    print(record)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
