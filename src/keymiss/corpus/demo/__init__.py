"""The demo corpus that comes with the package: twenty articles, and questions about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

DEMO_FOLDER = Path(__file__).parent
ARTICLES = DEMO_FOLDER / "articles"


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question, and the answer that stands in one of the articles."""

    text: str
    answer: str
    document: str


def load_questions() -> list[DemoQuestion]:
    """The questions that the demo articles answer."""
    lines = (DEMO_FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [DemoQuestion(r["question"], r["answer"], r["document"]) for r in records]


def load_unanswerable() -> list[str]:
    """Questions that nothing in the demo articles answers."""
    lines = (DEMO_FOLDER / "unanswerable.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]
