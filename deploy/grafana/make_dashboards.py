"""Writes the dashboards as Grafana reads them, from what stands here.

python deploy/grafana/make_dashboards.py    # needs the extra `dev`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef("prometheus", "keymiss-prometheus")
COLUMNS, HEIGHT = 3, 8
SPAN = 24 // COLUMNS
"""Of Grafana's 24 columns."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph: its queries by legend. `unit` is one of Grafana's."""

    title: str
    unit: str
    queries: dict[str, str]


def quantile(q: float, metric: str, by: str = "", where: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{where}[5m])))"


def rate(metric: str, by: str = "", where: str = "") -> str:
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric}{where}[5m]))"


ALL = '{stage="all"}'
INFERENCE = '{stage="inference"}'
HITS, MISSES = rate("keymiss_module_hits_total"), rate("keymiss_module_misses_total")
INDEXED = "sum(max by (shard) (keymiss_index_documents))"

DASHBOARDS = {
    "overview": (
        "keymiss: overview",
        [
            Panel(
                "Questions a second",
                "reqps",
                {"{{outcome}}": rate("keymiss_questions_total", "outcome")},
            ),
            Panel(
                "Time of a question",
                "s",
                {
                    f"p{round(100 * q)}": quantile(q, "keymiss_question_stage_seconds", where=ALL)
                    for q in (0.5, 0.95, 0.99)
                },
            ),
            Panel(
                "Time of its stages, mean",
                "s",
                {
                    "{{stage}}": f"{rate('keymiss_question_stage_seconds_sum', 'stage')} / "
                    f"{rate('keymiss_question_stage_seconds_count', 'stage')}"
                },
            ),
            Panel("Hit rate", "percentunit", {"hits": f"{HITS} / ({HITS} + {MISSES})"}),
            Panel(
                "Function keys a second",
                "reqps",
                {"hits": HITS, "misses": MISSES, "joined": rate("keymiss_module_joined_total")},
            ),
            Panel(
                "Waiting",
                "short",
                {
                    "keys": "sum(keymiss_module_pending)",
                    "clients": "sum(keymiss_module_waiting)",
                },
            ),
            Panel("Servers that answer", "short", {"{{node}}": "keymiss_server_up"}),
            Panel(
                "Incomplete answers a second",
                "reqps",
                {"incomplete": rate("keymiss_questions_incomplete_total")},
            ),
            Panel("Workers", "short", {"{{node}}": "keymiss_module_workers"}),
        ],
    ),
    "functions": (
        "keymiss: functions and models",
        [
            Panel(
                "Misses a second",
                "reqps",
                {"{{function}}": rate("keymiss_function_misses_total", "function")},
            ),
            Panel(
                "Waiting keys",
                "short",
                {"{{function}}": "sum by (function) (keymiss_function_pending)"},
            ),
            Panel(
                "Workers, fewest of any node",
                "short",
                {"{{function}}": "min by (function) (keymiss_function_workers)"},
            ),
            Panel(
                "Events in a batch, median",
                "short",
                {"{{function}}": quantile(0.5, "keymiss_batch_events", "function")},
            ),
            Panel(
                "Time of a batch, p95",
                "s",
                {"{{function}}": quantile(0.95, "keymiss_handler_seconds", "function")},
            ),
            Panel(
                "Wait for the batch before, p95",
                "s",
                {"{{function}}": quantile(0.95, "keymiss_worker_queue_seconds", "function")},
            ),
            Panel(
                "Errors a second",
                "reqps",
                {
                    "{{function}} {{outcome}}": rate(
                        "keymiss_events_total", "function, outcome", '{outcome!="ok"}'
                    )
                },
            ),
            Panel(
                "Failed, timed out, refused a second",
                "reqps",
                {
                    "failed": rate("keymiss_module_failed_total"),
                    "timeouts": rate("keymiss_module_timeouts_total"),
                    "busy": rate("keymiss_module_busy_total"),
                },
            ),
            Panel(
                "Model: time of a pair, mean",
                "s",
                {
                    "{{model}}": f"{rate('keymiss_reader_seconds_total', 'model', INFERENCE)} / "
                    f"{rate('keymiss_reader_pairs_total', 'model')}"
                },
            ),
            Panel(
                "Model: where its time goes",
                "percentunit",
                {"{{stage}}": rate("keymiss_reader_seconds_total", "stage")},
            ),
            Panel(
                "Model: tokens a second",
                "short",
                {
                    "tokens": rate("keymiss_reader_tokens_total"),
                    "padding": rate("keymiss_reader_padding_total"),
                },
            ),
            Panel(
                "Time to read texts, p95", "s", {"texts": quantile(0.95, "keymiss_text_seconds")}
            ),
            Panel(
                "Memory of workers",
                "bytes",
                {"{{instance}}": 'process_resident_memory_bytes{job="keymiss-worker"}'},
            ),
            Panel(
                "Time to load the model",
                "s",
                {"{{model}} {{precision}}": "keymiss_reader_load_seconds"},
            ),
        ],
    ),
    "corpus": (
        "keymiss: corpus and graph",
        [
            Panel("Documents", "short", {"stored": "keymiss_documents", "in indexes": INDEXED}),
            Panel("Index lag, documents", "short", {"lag": f"max(keymiss_documents) - {INDEXED}"}),
            Panel(
                "Sentences in indexes",
                "short",
                {"{{shard}}": "max by (shard) (keymiss_index_sentences)"},
            ),
            Panel(
                "Events of written keys a second",
                "reqps",
                {
                    "{{function}}": rate(
                        "keymiss_events_total",
                        "function",
                        '{function=~"index|tokens|concepts|graph"}',
                    )
                },
            ),
            Panel(
                "Documents with concepts",
                "short",
                {"{{shard}}": "max by (shard) (keymiss_graph_documents)"},
            ),
            Panel(
                "Sentences and concepts in the graph",
                "short",
                {
                    "sentences": "sum(max by (shard) (keymiss_graph_sentences))",
                    "concepts": "sum(max by (shard) (keymiss_graph_concepts))",
                },
            ),
        ],
    ),
    "valkey": (
        "keymiss: Valkey itself",
        [
            Panel(
                "Memory",
                "bytes",
                {
                    "{{node}} used": "keymiss_server_memory_used_bytes",
                    "{{node}} resident": "keymiss_server_memory_rss_bytes",
                    "{{node}} at most": "keymiss_server_memory_max_bytes",
                },
            ),
            Panel(
                "Clients",
                "short",
                {
                    "{{node}}": "keymiss_server_clients",
                    "{{node}} blocked": "keymiss_server_clients_blocked",
                },
            ),
            Panel(
                "Commands a second",
                "reqps",
                {"{{node}}": rate("keymiss_server_commands_total", "node")},
            ),
            Panel(
                "Processor",
                "percentunit",
                {
                    "{{node}}": f"{rate('keymiss_server_cpu_user_seconds_total', 'node')} + "
                    f"{rate('keymiss_server_cpu_system_seconds_total', 'node')}"
                },
            ),
            Panel(
                "Key space: hits and misses a second",
                "reqps",
                {
                    "hits": rate("keymiss_server_keyspace_hits_total"),
                    "misses": rate("keymiss_server_keyspace_misses_total"),
                },
            ),
            Panel("Keys", "short", {"{{node}}": "keymiss_server_keys"}),
            Panel(
                "Keys that went, a second",
                "reqps",
                {
                    "expired": rate("keymiss_server_keys_expired_total"),
                    "evicted": rate("keymiss_server_keys_evicted_total"),
                },
            ),
            Panel(
                "Network",
                "Bps",
                {
                    "{{node}} in": rate("keymiss_server_network_input_bytes_total", "node"),
                    "{{node}} out": rate("keymiss_server_network_output_bytes_total", "node"),
                },
            ),
            Panel(
                "Computed values that are stored",
                "bytes",
                {"{{node}}": "keymiss_module_stored_bytes"},
            ),
        ],
    ),
}


def built(uid: str, title: str, panels: list[Panel]) -> str:
    board = (
        dashboard.Dashboard(title)
        .uid(f"keymiss-{uid}")
        .tags(["keymiss"])
        .refresh("10s")
        .time("now-1h", "now")
    )
    for place, panel in enumerate(panels):
        drawn = timeseries.Panel().title(panel.title).unit(panel.unit).datasource(SOURCE)
        row, column = divmod(place, COLUMNS)
        drawn = drawn.grid_pos(GridPos(HEIGHT, SPAN, SPAN * column, HEIGHT * row))
        for letter, (legend, query) in zip("ABCDEFGH", panel.queries.items(), strict=False):
            drawn = drawn.with_target(
                prometheus.Dataquery().expr(query).legend_format(legend).ref_id(letter)
            )
        board = board.with_panel(drawn)
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


def main() -> None:
    for uid, (title, panels) in DASHBOARDS.items():
        (FOLDER / f"{uid}.json").write_text(built(uid, title, panels), encoding="utf-8")


if __name__ == "__main__":
    main()
