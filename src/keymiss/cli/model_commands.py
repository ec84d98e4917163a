"""Commands for readers: model pull, list, info, eval and check."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from valkey.exceptions import ResponseError

from keymiss.asking.computed_get import explain
from keymiss.cli.terminal import (
    DEFAULT_URL,
    AsJsonOption,
    PrecisionOption,
    UrlOption,
    app,
    connect,
    number_of,
    out,
)
from keymiss.errors import Unavailable
from keymiss.evaluation.squad import evaluate_reader, load_squad
from keymiss.keys import modelinfo_key, statistics_key
from keymiss.reader import BUNDLED_FOLDER, BUNDLED_MODEL, Reader, model_folder
from keymiss.reader.checkpoint import model_files
from keymiss.reader.hub import Pulled, pull, pulled
from keymiss.reader.int8_check import Int8Check, keep_check

model_app = typer.Typer(help="Look after the readers.", no_args_is_help=True)
app.add_typer(model_app, name="model")


@model_app.command("pull")
def model_pull(
    name: Annotated[str, typer.Argument(help="A model on the hub: owner/model.")],
) -> None:
    """Download a reader, or its changed files; it then works without a network."""
    folder = pull(name)
    model_files(folder)
    out.print(f"{name} is in {folder}", highlight=False, soft_wrap=True)


@model_app.command("list")
def model_list(as_json: AsJsonOption = False) -> None:
    """Show the readers on this machine."""
    bundled = Pulled(BUNDLED_MODEL, BUNDLED_FOLDER, _size(BUNDLED_FOLDER))
    found = [asdict(one) | {"folder": str(one.folder)} for one in (bundled, *pulled())]
    if as_json:
        print(json.dumps(found))
        return
    for model in found:
        size = f"{model['bytes'] / 1e6:8.0f} MB"
        out.print(f"{size}  {model['name']}", highlight=False, soft_wrap=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@model_app.command("info")
def model_info(
    name: Annotated[str, typer.Argument(help="A model's name, as `keymiss worker` knows it.")],
    url: UrlOption = DEFAULT_URL,
    reset: Annotated[bool, typer.Option("--reset", help="Then start to count from zero.")] = False,
    as_json: AsJsonOption = False,
) -> None:
    """Show what all workers have done with a reader."""
    with connect(url) as client:
        try:
            told = json.loads(client.get(modelinfo_key(name)) or "null")
        except ResponseError as error:
            raise explain(str(error)) from None
        if told is None:
            raise Unavailable("no worker serves figures of models; start `keymiss worker`")
        if reset:
            client.unlink(statistics_key(name))
    if as_json:
        print(json.dumps(told))
        return
    for place, counts in ((name, told), *told["shards"].items()):
        mean = counts["duration_us"] / max(1, counts["samples"]) / 1000
        out.print(
            f"{place}: {number_of(counts['calls'], 'call')}, "
            f"{number_of(counts['samples'], 'sample')}, {counts['duration_us']} microseconds "
            f"({mean:.1f} ms a sample), {number_of(counts['errors'], 'error')}",
            highlight=False,
            soft_wrap=True,
        )


@model_app.command("eval")
def model_eval(
    name: Annotated[str, typer.Argument(help="A model folder, or a model's name.")],
    file: Annotated[Path, typer.Argument(help="Questions in SQuAD's format.")],
    precision: PrecisionOption = "auto",
    as_json: AsJsonOption = False,
) -> None:
    """Score a reader alone: it reads the passage that answers each question."""
    asked = load_squad(file)
    reader = Reader.from_pretrained(name, precision)
    _show(asdict(evaluate_reader(reader, asked)), as_json)


@model_app.command("check")
def model_check(
    name: Annotated[str, typer.Argument(help="A model folder, or a model's name.")],
    file: Annotated[Path, typer.Argument(help="Questions in SQuAD's format.")],
    as_json: AsJsonOption = False,
) -> None:
    """Measure what int8 costs a reader; when it costs little, workers read in int8."""
    asked = load_squad(file)
    fp32, int8 = (
        evaluate_reader(Reader.from_pretrained(name, precision), asked).f1
        for precision in ("fp32", "int8")
    )
    check = Int8Check(fp32, int8, len(asked))
    kept = keep_check(model_folder(name), check)
    _show(asdict(check) | {"passed": check.passed, "kept": str(kept)}, as_json)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        out.print(f"{key:>15}  {value}", highlight=False, soft_wrap=True)
