"""Measures how well a reader alone answers the questions of a file in SQuAD's format."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keymiss.errors import BadInput
from keymiss.evaluation.answer_scores import exact, f1
from keymiss.reader import Reader


@dataclass(frozen=True, slots=True)
class SquadQuestion:
    """A question, its passage, and the answers that people gave: none when nothing answers it."""

    question: str
    passage: str
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Performance:
    """Percentages over all questions. For each question the nearest expected answer counts."""

    exact: float
    f1: float
    questions: int
    seconds: float
    precision: str


def load_squad(path: Path) -> list[SquadQuestion]:
    """The answerable questions of a file in the format of SQuAD 1.1 or 2.0.

    Raises:
        BadInput: the file cannot be read, is of another format, or has no answerable question.
    """
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise _not_squad(path, error) from None
    asked = [one for one in squad_questions(path, whole) if one.expected]
    if not asked:
        raise BadInput(f"{path} has no question with an answer")
    return asked


def squad_questions(path: Path, whole: Any) -> list[SquadQuestion]:
    """All questions of a file in SQuAD's format, whose JSON this is.

    Raises:
        BadInput: the file is of another format.
    """
    try:
        return [
            SquadQuestion(
                str(qa["question"]),
                str(paragraph["context"]),
                tuple(str(answer["text"]) for answer in qa["answers"]),
            )
            for article in whole["data"]
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        ]
    except (KeyError, TypeError) as error:
        raise _not_squad(path, error) from None


def _not_squad(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path} is not in SQuAD's format: {error!r}")


def first_answers(reader: Reader, asked: list[SquadQuestion]) -> list[str]:
    """The reader's best answer to each question."""
    found = reader.read_batch([(one.question, one.passage) for one in asked])
    return [answers[0].text if answers else "" for answers in found]


def best_f1(text: str, asked: SquadQuestion) -> float:
    """The F1 with the nearest expected answer, between 0 and 1."""
    return max(f1(text, expected) for expected in asked.expected)


def evaluate_reader(reader: Reader, asked: list[SquadQuestion]) -> Performance:
    """Measures exact match and F1 as SQuAD defines them (Rajpurkar et al. 2016)."""
    started = time.perf_counter()
    texts = first_answers(reader, asked)
    seconds = time.perf_counter() - started
    pairs = list(zip(texts, asked, strict=True))
    return Performance(
        exact=round(
            100 * sum(any(exact(t, e) for e in one.expected) for t, one in pairs) / len(pairs), 2
        ),
        f1=round(100 * sum(best_f1(text, one) for text, one in pairs) / len(pairs), 2),
        questions=len(pairs),
        seconds=round(seconds, 2),
        precision=reader.precision,
    )
