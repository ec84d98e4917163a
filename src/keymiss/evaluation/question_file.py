"""Reads questions with their expected answers from a file, to be asked of a corpus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keymiss.errors import BadInput
from keymiss.evaluation.squad import squad_questions


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """A question, the answers that are right, and the document that holds them, if it is known.

    No answer is right when the corpus does not answer the question.
    """

    question: str
    answers: tuple[str, ...]
    document: str | None = None


def load_expected(path: Path) -> list[ExpectedAnswer]:
    """The questions of a file, in the format of SQuAD 1.1 or 2.0, or of JSON lines:

    {"question": "Who ...?", "answers": ["..."], "document": "..."}

    `answers` may be one text, or empty when nothing in the corpus answers; `document` may be left
    out.

    Raises:
        BadInput: the file cannot be read, has another format, or no question.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    whole = _parsed(text)
    if "data" in whole:
        asked = squad_questions(path, whole)
        expected = [ExpectedAnswer(one.question, one.expected) for one in asked]
    else:
        expected = _lines(path, text)
    if not expected:
        raise BadInput(f"{path} has no question")
    return expected


def _parsed(text: str) -> dict[str, Any]:
    """The file as one JSON object; empty when it is not one."""
    try:
        whole = json.loads(text)
    except ValueError:
        return {}
    return whole if isinstance(whole, dict) else {}


def _lines(path: Path, text: str) -> list[ExpectedAnswer]:
    lines = enumerate(text.splitlines(), start=1)
    return [_line(f"{path}, line {number}", line) for number, line in lines if line.strip()]


def _line(where: str, line: str) -> ExpectedAnswer:
    given = _parsed(line)
    question, document = given.get("question"), given.get("document")
    answers = given.get("answers", given.get("answer", []))
    answers = [answers] if isinstance(answers, str) else answers
    is_right = (
        isinstance(question, str)
        and isinstance(document, str | None)
        and isinstance(answers, list)
        and all(isinstance(one, str) for one in answers)
    )
    if not is_right:
        raise BadInput(
            f'{where}: write {{"question": "...", "answers": ["..."], "document": "..."}}, or a '
            "file in SQuAD's format"
        )
    return ExpectedAnswer(str(question), tuple(one for one in answers if one.strip()), document)
