"""Commands that measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.text import Text

from keymiss.bench.article import measure_article
from keymiss.bench.cold import has_old_way
from keymiss.bench.rows import markdown, write_json, write_png
from keymiss.cli.terminal import app, err, out
from keymiss.reader import BUNDLED_MODEL

REPEATS, QUICK_REPEATS = 11, 5

bench_app = typer.Typer(help="Measure this machine.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


@bench_app.callback()
def bench() -> None:
    """Measure this machine."""


@bench_app.command("article")
def bench_article(
    models: Annotated[
        list[str], typer.Option("--model", help="A model folder or name; may be repeated.")
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
            for row in measure_article(model, QUICK_REPEATS if quick else REPEATS):
                progress.update(task, description=f"{row.model}: {row.name}")
                rows.append(row)
    write_json(rows, folder / "article.json")
    table = f"{rows[0].hardware}\n\n{markdown(rows)}"
    (folder / "article.md").write_text(table, encoding="utf-8")
    write_png(rows, folder / "article.png")
    out.print(table, markup=False, highlight=False, soft_wrap=True)
