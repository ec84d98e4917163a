"""Commands that measure this machine, or estimate what a corpus needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.text import Text

from keymiss.asking.effort import FEWEST_READ
from keymiss.bench.article import measure_article
from keymiss.bench.article_rows import markdown, write_json, write_png
from keymiss.bench.cold_start import has_old_way
from keymiss.bench.corpus_size import estimate
from keymiss.bench.open_loop_load import measure_load
from keymiss.cli.terminal import AsJsonOption, app, err, number_of, out
from keymiss.reader import BUNDLED_MODEL
from keymiss.reader.network import PRECISIONS

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
            help="A model's folder or name; NAME@int8 names a precision, too; may be repeated.",
        ),
    ] = [BUNDLED_MODEL],  # noqa: B006
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure less often: under five minutes.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where to write article.json, .md and .png.")] = Path(
        "bench-results"
    ),
) -> None:
    """Repeat the article's measurements, the old way and with keymiss (docs/benchmarks.md)."""
    if not has_old_way():
        err.print(Text("the old way is left out; it needs pip install 'keymiss[reference]'"))
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
    """A model, and the precision after its last @: a folder's name may have other @ signs."""
    name, _, precision = model.rpartition("@")
    return (name, precision) if precision in PRECISIONS else (model, "auto")


@bench_app.command("load")
def bench_load(
    shards: Annotated[
        list[int], typer.Option(help="How many shards to start; may be repeated.")
    ] = [  # noqa: B006
        1,
        4,
    ],
    seconds: Annotated[
        float, typer.Option(help="How many seconds each rate lasts.")
    ] = LOAD_SECONDS,
    limit: Annotated[
        float, typer.Option(help="How many milliseconds p99 may take.")
    ] = LOAD_LIMIT_MS,
    folder: Annotated[Path, typer.Option(help="Where to write load.json.")] = Path("bench-results"),
) -> None:
    """Ask faster and faster, whether or not answers keep up, until one in a hundred is late."""
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
    sentences: Annotated[int, typer.Option(min=1, help="How many sentences the corpus has.")],
    questions_per_second: Annotated[
        float, typer.Option(min=0, help="How many new questions come in a second.")
    ] = 1.0,
    candidates: Annotated[
        int, typer.Option(min=1, help="How many sentences are read for a question.")
    ] = FEWEST_READ,
    vectors: Annotated[
        bool, typer.Option(help="Whether sentences are found by their vectors, too.")
    ] = True,
    as_json: AsJsonOption = False,
) -> None:
    """Estimate the memory, shards and cores that a corpus needs, and how fast answers come."""
    found = estimate(sentences, questions_per_second, candidates, vectors=vectors)
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
        out.print("extrapolated: this is larger than anything that was measured (docs/scale.md)")
