"""Fits what follows from a reader's weights: the probability that an answer is right, and the cut
below which a span is not an answer.

    python -m keymiss.bench.refit SQUAD_FILE [--model FOLDER] [--write]
        [--sample FOLDER] [--open FOLDER]

Questions are asked through the whole path, so that the best of ten sentences is judged. Half of the
articles of a file in SQuAD's format become a corpus. All questions are asked: those about the other
half have no answer there. A temperature and an offset are fitted to the margin of the first answer
(Platt 1999; Guo et al. 2017), so that sigmoid((margin - offset) / temperature) is how often it is
right. Then the highest cut is chosen that costs few right answers. The demo's questions are a test,
and so are those about the sample articles and the open fields, if their folders are given.
`--write` keeps the result with the model, and the tables in docs/decisions/0010-no-answer.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keymiss.asking.candidate_search import find
from keymiss.asking.computed_get import compute
from keymiss.asking.effort import FEWEST_READ
from keymiss.bench.question_sets import (
    QuestionSet,
    demo_set,
    further_sets,
    squad_set,
    stack_of,
)
from keymiss.evaluation.answer_scores import f1, is_right, score_refusals
from keymiss.evaluation.squad import evaluate_reader, load_squad
from keymiss.keys import qa_key
from keymiss.reader import BUNDLED_FOLDER, Reader
from keymiss.reader.calibration import CALIBRATION
from keymiss.search.question import normalise_question
from keymiss.server.servers import Servers
from keymiss.values.qa_value import Found, found_from_json

BINS = 10
DOCS = Path("docs")
"""The docs of the checkout, where refit runs."""
DECISION, BENCHMARKS = DOCS / "decisions" / "0010-no-answer.md", DOCS / "benchmarks.md"

CUTS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
"""The probabilities among which the cut is chosen."""

MOST_LOST = 1 / 200
"""The share of right first answers that the cut may cost in the fitted set, at most. Its questions
repeat the words of the text; questions in other words lose more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a question: the first answer's margin, whether it is right, and its F1."""

    margin: float
    right: bool
    answerable: bool
    f1: float


# ---- asking ----


def ask_set(asked: QuestionSet, model: Path) -> list[Outcome]:
    """The outcomes of a set's questions, asked of a system that is started for them."""
    with stack_of(asked, str(model)) as url:
        return asyncio.run(_outcomes(url, asked))


async def _outcomes(url: str, asked: QuestionSet) -> list[Outcome]:
    found = []
    async with Servers(url) as servers:
        for one in asked.questions:
            first = await _preferred(servers, one.text)
            text = first.text if first else ""
            right = any(is_right(text, answer) for answer in one.expected)
            best = max((f1(text, answer) for answer in one.expected), default=0.0)
            margin = first.margin if first else -math.inf
            found.append(Outcome(margin, right, bool(one.expected), best))
    return found


async def _preferred(servers: Servers, text: str) -> Found | None:
    """The span that the reader prefers for a question, probable or not; None without candidates."""
    question = normalise_question(text)
    found_by_words = await find(servers, question)
    keys = [qa_key(one.sentence, question) for one in found_by_words.ranked[:FEWEST_READ]]
    values = await asyncio.gather(*(compute(servers, key) for key in keys))
    found = [found_from_json(value) for value in values if value is not None]
    return max(found, key=lambda one: one.margin, default=None)


def ask_demo() -> list[Outcome]:
    """The outcomes of the demo's questions with the bundled reader."""
    return ask_set(demo_set(), BUNDLED_FOLDER)


# ---- fitting ----


def sigmoids(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def fit(found: Sequence[Outcome]) -> tuple[float, float]:
    """The temperature and the offset with the least log loss, by Newton's method."""
    asked = [one for one in found if math.isfinite(one.margin)]
    margins = np.array([one.margin for one in asked])
    right = np.array([one.right for one in asked], float)
    design = np.stack([margins, np.ones_like(margins)], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        p = sigmoids(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        weights += np.linalg.solve(hessian, design.T @ (right - p))
    return float(1 / weights[0]), float(-weights[1] / weights[0])


def calibration_error(found: Sequence[Outcome], temperature: float, offset: float) -> float:
    """The calibration error of the probabilities that a temperature and an offset give."""
    margins = np.clip([one.margin for one in found], -1e3, 1e3)
    right = np.array([one.right for one in found], float)
    return binned_error(sigmoids((margins - offset) / temperature), right)


def binned_error(p: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal size (Naeini et al. 2015).

    Args:
        p: probabilities, float64 of shape (questions,).
        right: 1 where what they are about came true, likewise.
    """
    bins = [each for each in np.array_split(np.argsort(p), BINS) if len(each)]
    return float(sum(len(b) * abs(p[b].mean() - right[b].mean()) for b in bins) / len(p))


def margin_of(probability: float, temperature: float, offset: float) -> float:
    """The margin that an answer of this probability has."""
    return offset + temperature * math.log(probability / (1 - probability))


@dataclass(frozen=True, slots=True)
class Refused:
    """The effect of refusing answers of a margin or less.

    It has the precision and recall of "no answer" in percent, how many first answers are right and
    how many of them are lost, and the F1 of all answerable questions in percent.
    """

    precision: float
    recall: float
    right: int
    lost: int
    f1: float


def refuse(found: Sequence[Outcome], margin: float) -> Refused:
    flags = [(one.answerable, one.margin <= margin) for one in found]
    refusals = score_refusals(
        [refused for answerable, refused in flags if answerable],
        [refused for answerable, refused in flags if not answerable],
    )
    answerable = [one for one in found if one.answerable]
    given = [one.f1 for one in answerable if one.margin > margin]
    return Refused(
        refusals.precision,
        refusals.recall,
        sum(one.right for one in found),
        sum(one.right for one in found if one.margin <= margin),
        100 * sum(given) / max(1, len(answerable)),
    )


def choose_cut(found: Sequence[Outcome], temperature: float, offset: float) -> float:
    """The highest of the cuts that loses no more than `MOST_LOST` of the right first answers."""
    kept = [
        cut
        for cut in CUTS
        if (refused := refuse(found, margin_of(cut, temperature, offset))).lost
        <= MOST_LOST * refused.right
    ]
    return max(kept, default=CUTS[0])


# ---- writing ----


def tables(found: dict[str, list[Outcome]], temperature: float, offset: float, cut: float) -> str:
    """Markdown tables of how well the probabilities fit, and of the effect of each cut."""
    lines = [
        f"temperature {temperature:.2f}, offset {offset:.2f}, cut {cut}",
        "",
        "| | questions | without an answer | right first | calibration error | plain sigmoid's |",
        "|---|---|---|---|---|---|",
    ]
    for name, some in found.items():
        right, beside = sum(one.right for one in some), sum(not one.answerable for one in some)
        errors = [calibration_error(some, *pair) for pair in ((temperature, offset), (1.0, 0.0))]
        lines.append(
            f"| {name} | {len(some)} | {beside} | {right} | {errors[0]:.3f} | {errors[1]:.3f} |"
        )
    lines += [
        "",
        "| least probability | margin | " + " | ".join(found) + " |",
        "|---|---|" + "---|" * len(found),
    ]
    for probability in (0.0, *CUTS):
        margin = margin_of(probability, temperature, offset) if probability else -math.inf
        cells = [_cell(refuse(some, margin)) for some in found.values()]
        shown = f"**{probability}**" if probability == cut else f"{probability}"
        lines.append(f"| {shown} | {margin:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(refused: Refused) -> str:
    return (
        f"{refused.precision:.0f} / {refused.recall:.0f} %, {refused.lost} lost, "
        f"F1 {refused.f1:.1f}"
    )


def calibration(
    squad: Path, found: Sequence[Outcome], temperature: float, offset: float, cut: float
) -> dict[str, object]:
    """The record that is kept with the model: what was fitted, and how well it fits."""
    error = calibration_error(found, temperature, offset)
    return {
        "temperature": round(temperature, 2),
        "offset": round(offset, 2),
        "least": cut,
        "measured": f"keymiss.bench.refit on {squad.stem}, {len(found)} questions, half of "
        f"them without an answer in the corpus; calibration error {error:.3f}",
    }


def write(model: Path, squad: Path, record: dict[str, object], text: str) -> None:
    """Keeps the calibration with the model, and the bundled reader's figures in the docs."""
    (model / CALIBRATION).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if model != BUNDLED_FOLDER:
        return
    put_into(DECISION, text)
    put_into(BENCHMARKS, scores(model, squad))


def put_into(page: Path, text: str) -> None:
    """Puts a text between the marks that the page has for it."""
    marked = re.compile(r"(<!-- refit -->\n).*?(\n?<!-- /refit -->)", re.DOTALL)
    whole = page.read_text(encoding="utf-8")
    page.write_text(marked.sub(lambda m: f"{m[1]}{text}\n<!-- /refit -->", whole), encoding="utf-8")


def scores(model: Path, squad: Path) -> str:
    """Markdown of the demo's scores through the whole path, and of the reader alone on the file."""
    command = (sys.executable, "-m", "keymiss", "eval", "--demo", "--json", "--model", str(model))
    demo = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    refused = demo["no_answer"]
    cells = (
        f"{demo['questions']} + {refused['unanswerable']}",
        *(demo["first"], demo["first_five"], demo["exact"], demo["f1"]),
        *(refused["precision"], refused["recall"]),
    )
    asked = load_squad(squad)
    alone = []
    for precision in ("fp32", "bf16"):
        one = evaluate_reader(Reader.from_pretrained(model, precision), asked)
        alone.append(f"{one.exact:.2f} EM / {one.f1:.2f} F1 in {precision}")
    return "\n".join(
        [
            "| questions | right first | among five | exact, % | F1, % | no answer: precision, % "
            "| recall, % |",
            "|---|---|---|---|---|---|---|",
            f"| {' | '.join(map(str, cells))} |",
            "",
            f"The reader alone on {squad.stem}, {len(asked):,} questions:\n{', '.join(alone)}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("squad", type=Path)
    parser.add_argument("--model", type=Path, default=BUNDLED_FOLDER)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--open", type=Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = [squad_set(chosen.squad, Path(folder)), *further_sets(chosen.sample, chosen.open)]
        outcomes = {each.name: ask_set(each, chosen.model) for each in sets}
    temperature, offset = fit(outcomes["half"])
    cut = choose_cut(outcomes["half"], temperature, offset)
    text = tables(outcomes, temperature, offset, cut)
    print(text)
    if chosen.write:
        record = calibration(chosen.squad, outcomes["half"], temperature, offset, cut)
        write(chosen.model, chosen.squad, record, text)


if __name__ == "__main__":
    main()
