"""Measured values, written as JSON, as a table and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from keymiss.errors import missing_extra

ARTICLE_HARDWARE = "Core i9-12900K"
OLD, KEYMISS = "old", "keymiss"


@dataclass(frozen=True, slots=True)
class Row:
    """A measured value.

    `way` is "old" (transformers and torch) or "keymiss". `article_value` is what the article
    measured on its own hardware, None if it measured nothing like it.
    """

    name: str
    model: str
    way: str
    value: float
    unit: str
    article_value: float | None
    hardware: str


def write_json(rows: Sequence[Row], file: Path) -> None:
    """Writes the rows as a list of objects."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table, with both ways and the article side by side."""
    lines = [
        f"| measured | model | old way, fp32 | keymiss | the article, {ARTICLE_HARDWARE} |",
        "|---|---|---|---|---|",
    ]
    for name, model in dict.fromkeys((row.name, row.model) for row in rows):
        own = {row.way: row for row in rows if (row.name, row.model) == (name, model)}
        article = next(iter(own.values())).article_value
        unit = next(iter(own.values())).unit
        cells = [_shown(own[way].value, unit) if way in own else "" for way in (OLD, KEYMISS)]
        cells.append("" if article is None else _shown(article, unit))
        lines.append(f"| {name} | {model} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(value: float, unit: str) -> str:
    digits = 0 if value >= 100 or isinstance(value, int) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def write_png(rows: Sequence[Row], file: Path) -> None:
    """Draws the values that the old way or the article has, too, as bars on a logarithmic axis.

    Raises:
        SetupError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "bench") from None
    compared = [
        (name, model)
        for name, model in dict.fromkeys((row.name, row.model) for row in rows)
        if any(
            row.way == OLD or row.article_value is not None
            for row in rows
            if (row.name, row.model) == (name, model)
        )
    ]
    figure = Figure(figsize=(9, 1 + 0.7 * len(compared)), layout="constrained")
    axes = figure.subplots()
    for place, (name, model) in enumerate(reversed(compared)):
        own = {row.way: row for row in rows if (row.name, row.model) == (name, model)}
        article = next(iter(own.values())).article_value
        unit = next(iter(own.values())).unit
        bars = [
            ("article", article, "0.7"),
            ("old way", own[OLD].value if OLD in own else None, "tab:orange"),
            ("keymiss", own[KEYMISS].value if KEYMISS in own else None, "tab:blue"),
        ]
        for number, (label, value, colour) in enumerate(bars):
            if value is not None:
                at = place + 0.25 * (1 - number)
                axes.barh(at, value, 0.22, color=colour, label=label)
                axes.text(value, at, f" {_shown(value, unit)}", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_yticks(
        range(len(compared)), [f"{name}\n{model}" for name, model in reversed(compared)]
    )
    axes.margins(x=0.25)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
