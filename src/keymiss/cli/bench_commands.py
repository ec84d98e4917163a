"""Commands that measure."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.text import Text

from keymiss.asking.answers import SENTENCES_READ
from keymiss.bench.article import measure_article
from keymiss.bench.article_rows import markdown, write_json, write_png
from keymiss.bench.cold_start import has_old_way
from keymiss.bench.corpus_size import estimate
from keymiss.bench.open_loop_load import measure_load
from keymiss.cli.terminal import AsJsonOption, app, err, number_of, out
from keymiss.reader import BUNDLED_MODEL
from keymiss.reader.openvino.kept_graphs import Precision

REPEATS, QUICK_REPEATS = 11, 5

LOAD_SECONDS, LOAD_LIMIT_MS = 10.0, 1000.0

bench_app = typer.Typer(help="Measure this machine.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


@bench_app.callback()
def bench() -> None:
    """Measure this machine."""


@bench_app.command("article")
def bench_article(
    models: Annotated[
        list[str],
        typer.Option(
            "--model",
            help="A model folder or name, or NAME@int8 to name the precision; may be repeated.",
        ),
    ] = [BUNDLED_MODEL],  # noqa: B006
    quick: Annotated[bool, typer.Option("--quick", help="Less often: under five minutes.")] = False,
    folder: Annotated[Path, typer.Option(help="Where article.json, .md and .png go.")] = Path(
        "bench-results"
    ),
) -> None:
    """Repeat the measurements of the article that keymiss succeeds, both ways."""
    if not has_old_way():
        err.print(Text("the old way is left out: pip install 'keymiss[reference]' brings it"))
    rows = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("starting")
        for model in models:
            name, precision = named_model(model)
            repeats = QUICK_REPEATS if quick else REPEATS
            for row in measure_article(name, repeats, precision):
                progress.update(task, description=f"{row.model}: {row.name}")
                rows.append(row)
    write_json(rows, folder / "article.json")
    table = f"{rows[0].hardware}\n\n{markdown(rows)}"
    (folder / "article.md").write_text(table, encoding="utf-8")
    write_png(rows, folder / "article.png")
    out.print(table, markup=False, highlight=False, soft_wrap=True)


def named_model(model: str) -> tuple[str, str]:
    """A model, and the precision behind its last @: a folder may have others in its name."""
    name, _, precision = model.rpartition("@")
    return (name, precision) if precision in get_args(Precision) else (model, "auto")


@bench_app.command("load")
def bench_load(
    shards: Annotated[list[int], typer.Option(help="Of a system; may be repeated.")] = [  # noqa: B006
        1,
        4,
    ],
    seconds: Annotated[float, typer.Option(help="How long each rate is kept up.")] = LOAD_SECONDS,
    limit: Annotated[float, typer.Option(help="Milliseconds that p99 may take.")] = LOAD_LIMIT_MS,
    folder: Annotated[Path, typer.Option(help="Where load.json goes.")] = Path("bench-results"),
) -> None:
    """Ask ever faster, whether or not answers keep up, until one in a hundred is late."""
    steps = []
    for count in shards:
        for step in measure_load(count, seconds, limit):
            steps.append(asdict(step))
            out.print(
                f"{number_of(count, 'shard')}, {step.questions}, {step.rate:.1f}/s: "
                f"{step.answered_per_second:.1f}/s answered, p50 {step.p50_ms:.0f}, "
                f"p95 {step.p95_ms:.0f}, p99 {step.p99_ms:.0f} ms, batches of {step.batch:.1f}, "
                f"{100 * step.hit_rate:.0f} % hits, {number_of(step.errors, 'error')}",
                highlight=False,
                soft_wrap=True,
            )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "load.json").write_text(json.dumps(steps, indent=1) + "\n", encoding="utf-8")


@app.command()
def size(
    sentences: Annotated[int, typer.Option(min=1, help="Of the corpus.")],
    questions_per_second: Annotated[
        float, typer.Option(min=0, help="That have not been asked before.")
    ] = 1.0,
    candidates: Annotated[
        int, typer.Option(min=1, help="Sentences read for a question.")
    ] = SENTENCES_READ,
    as_json: AsJsonOption = False,
) -> None:
    """Estimate the memory, shards and cores that a corpus needs, and how fast answers come."""
    found = estimate(sentences, questions_per_second, candidates)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    for what, value in (
        ("shards", f"{found.shards}"),
        ("memory of the servers", f"{found.server_bytes / 1e9:.1f} GB"),
        ("memory of the workers", f"{found.worker_bytes / 1e9:.1f} GB"),
        ("cores for workers", f"{found.worker_cores:.1f}"),
        ("cores for the web server", f"{found.web_cores:.1f}"),
        ("a new question", f"{found.first_ms:.0f} ms"),
        ("one that was asked before", f"{found.cached_ms:.0f} ms"),
    ):
        out.print(f"{what:26} {value}", highlight=False)
    if found.extrapolated:
        out.print("extrapolated: larger than what was measured (docs/scale.md)")
