"""How probable it is that an answer is right, fitted and checked.

    python bench/calibration.py SQUAD_FILE

Half of the articles of a file in SQuAD's format become the corpus, and all questions are asked:
those about the other half have no answer there. From the margin of the first answer a temperature
and an offset are fitted (Platt 1999; Guo et al. 2017) so that sigmoid((margin - offset) /
temperature) is how often it is right. The demo questions, the unanswerable ones among them, are the
test.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import valkey
import valkey.asyncio

from keymiss.answers.asking import READ
from keymiss.answers.computing import compute
from keymiss.answers.evaluation import is_right, score_refusals
from keymiss.answers.finding import find
from keymiss.answers.found import Found, found_from_json
from keymiss.corpus.demo import load_questions, load_unanswerable
from keymiss.corpus.ingest import ingest
from keymiss.keys import qa_key
from keymiss.reader import BUNDLED_MODEL
from keymiss.search.question import normalise_question
from keymiss.server.embedded import free_port
from keymiss.server.routing import Servers
from keymiss.stack import running_stack

BINS = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a question: the first answer's margin, and whether it is right."""

    margin: float
    right: bool
    answerable: bool


def write_articles(data: list[dict[str, object]], folder: Path) -> None:
    with (folder / "articles.jsonl").open("w", encoding="utf-8") as file:
        for number, article in enumerate(data):
            text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")


def squad_questions(data: list[dict[str, object]]) -> list[tuple[str, list[str]]]:
    return [
        (qa["question"], [answer["text"] for answer in qa["answers"]])
        for article in data
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


async def preferred(servers: Servers, text: str) -> Found | None:
    """The span that the reader prefers for a question, believed or not; None without candidates."""
    question = normalise_question(text)
    found_by_words = await find(servers, question)
    keys = [qa_key(one.sentence, question) for one in found_by_words.ranked[:READ]]
    values = await asyncio.gather(*(compute(servers, key) for key in keys))
    found = [found_from_json(value) for value in values if value is not None]
    return max(found, key=lambda one: one.margin, default=None)


async def outcomes(
    url: str, answerable: list[tuple[str, list[str]]], unanswerable: list[str]
) -> list[Outcome]:
    found = []
    async with Servers(url) as servers:
        for question, expected in [*answerable, *((text, []) for text in unanswerable)]:
            first = await preferred(servers, question)
            if first is not None:
                right = any(is_right(first.text, answer) for answer in expected)
                found.append(Outcome(first.margin, right, bool(expected)))
    return found


def ask_squad(path: Path) -> list[Outcome]:
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    inside, outside = data[::2], data[1::2]
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(None, port, None, BUNDLED_MODEL, demo=False),
        valkey.Valkey(port=port) as client,
    ):
        write_articles(inside, Path(folder))
        ingest(client, [Path(folder)])
        while client.info("keymiss")["keymiss_pending"]:
            pass
        others = [question for question, _ in squad_questions(outside)]
        return asyncio.run(outcomes(f"valkey://127.0.0.1:{port}", squad_questions(inside), others))


def ask_demo() -> list[Outcome]:
    port = free_port()
    with running_stack(None, port, None, BUNDLED_MODEL, demo=True):
        answerable = [(question.text, [question.answer]) for question in load_questions()]
        url = f"valkey://127.0.0.1:{port}"
        return asyncio.run(outcomes(url, answerable, load_unanswerable()))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def fit(found: list[Outcome]) -> tuple[float, float]:
    """Temperature and offset of the least log loss, by Newton's method."""
    margins = np.array([one.margin for one in found])
    right = np.array([one.right for one in found], float)
    design = np.stack([margins, np.ones_like(margins)], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        p = sigmoid(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        weights += np.linalg.solve(hessian, design.T @ (right - p))
    return float(1 / weights[0]), float(-weights[1] / weights[0])


def calibration_error(found: list[Outcome], temperature: float, offset: float) -> float:
    """Expected calibration error over ten bins of equal size (Naeini et al. 2015)."""
    p = sigmoid(np.array([(one.margin - offset) / temperature for one in found]))
    right = np.array([one.right for one in found], float)
    bins = np.array_split(np.argsort(p), BINS)
    return float(sum(len(b) * abs(p[b].mean() - right[b].mean()) for b in bins) / len(p))


def no_answer(found: list[Outcome], threshold: float) -> dict[str, float]:
    """Precision and recall of saying that there is no answer, and right answers lost by it."""
    flags = [(one.answerable, one.margin <= threshold) for one in found]
    refusals = score_refusals(
        [refused for answerable, refused in flags if answerable],
        [refused for answerable, refused in flags if not answerable],
    )
    return {
        "threshold": round(threshold, 2),
        "precision": round(refusals.precision / 100, 3),
        "recall": round(refusals.recall / 100, 3),
        "right_lost": sum(one.right for one in found if one.margin <= threshold),
    }


def main() -> None:
    squad, demo = ask_squad(Path(sys.argv[1])), ask_demo()
    temperature, offset = fit(squad)
    print(f"temperature {temperature:.2f}, offset {offset:.2f}")
    for name, found in (("squad", squad), ("demo", demo)):
        error = calibration_error(found, temperature, offset)
        raw = calibration_error(found, 1.0, 0.0)
        print(f"{name}: {len(found)} questions, calibration error {error:.3f}, unfitted {raw:.3f}")
        for probability in (0.1, 0.2, 0.3, 0.4, 0.5):
            threshold = offset + temperature * float(np.log(probability / (1 - probability)))
            print(f"  {probability}: {no_answer(found, threshold)}")
        print(f"  margin 0: {no_answer(found, 0.0)}")


if __name__ == "__main__":
    main()
