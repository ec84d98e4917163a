"""Commands for readers: model pull, list, eval and quantize."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from keymiss.answers.squad import best_f1, evaluate_reader, first_answers, load_squad
from keymiss.cli.terminal import AsJson, Precision, app, out
from keymiss.errors import SetupError
from keymiss.reader import BUNDLED_FOLDER, BUNDLED_MODEL, ModelError, Reader, model_folder
from keymiss.reader.checkpoint import model_files
from keymiss.reader.hub import Pulled, pull, pulled
from keymiss.reader.quantization import quantize

model_app = typer.Typer(help="Look after the readers.", no_args_is_help=True)
app.add_typer(model_app, name="model")


@model_app.command("pull")
def model_pull(
    name: Annotated[str, typer.Argument(help="A model on the hub: owner/model.")],
) -> None:
    """Download a reader, or what of it has changed; it works without a network then."""
    try:
        folder = pull(name)
        model_files(folder)
    except ModelError as error:
        raise SetupError(str(error)) from None
    out.print(f"{name} is in {folder}", highlight=False, soft_wrap=True)


@model_app.command("list")
def model_list(as_json: AsJson = False) -> None:
    """Show the readers that are here."""
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


@model_app.command("eval")
def model_eval(
    name: Annotated[str, typer.Argument(help="A model folder, or a model's name.")],
    file: Annotated[Path, typer.Argument(help="Questions in SQuAD's format.")],
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a reader alone, each question with the passage that answers it."""
    asked = load_squad(file)
    try:
        reader = Reader.from_pretrained(name, precision)
    except ModelError as error:
        raise SetupError(str(error)) from None
    _show(asdict(evaluate_reader(reader, asked)), as_json)


@model_app.command("quantize")
def model_quantize(
    name: Annotated[str, typer.Argument(help="A model folder, or a model's name.")],
    calibrate: Annotated[Path, typer.Option(help="Questions in SQuAD's format, of your domain.")],
    as_json: AsJson = False,
) -> None:
    """Round a reader to int8, unless it answers these questions worse then."""
    asked = load_squad(calibrate)

    def score(reader: Reader, chosen: Sequence[int]) -> list[float]:
        some = [asked[index] for index in chosen]
        texts = first_answers(reader, some)
        return [best_f1(text, one) for text, one in zip(texts, some, strict=True)]

    try:
        pairs = [(one.question, one.passage) for one in asked]
        with redirect_stdout(sys.stderr):  # NNCF shows its progress on standard output
            quantization = quantize(model_folder(name), pairs, score)
    except ModelError as error:
        raise SetupError(str(error)) from None
    _show(asdict(quantization), as_json)


def _show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        out.print(f"{key:>15}  {value}", highlight=False, soft_wrap=True)
