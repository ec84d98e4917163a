"""Commands for readers: model eval."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from keymiss.answers.squad import evaluate_reader, load_squad
from keymiss.cli.terminal import AsJson, Precision, app, out
from keymiss.errors import SetupError
from keymiss.reader import ModelError, Reader

model_app = typer.Typer(help="Look after the readers.", no_args_is_help=True)
app.add_typer(model_app, name="model")


@model_app.command("eval")
def model_eval(
    name: Annotated[str, typer.Argument(help="A model folder, or the bundled model's name.")],
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
    performance = asdict(evaluate_reader(reader, asked))
    if as_json:
        print(json.dumps(performance))
        return
    for key, value in performance.items():
        out.print(f"{key:>10}  {value}", highlight=False)
