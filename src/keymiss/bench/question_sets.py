"""Sets of questions about articles, for fitting and for measuring answers, and a system that holds
the articles of a set."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import valkey

from keymiss.answering.vector_memory import VectorsMode
from keymiss.corpus.demo import ARTICLES, load_questions, load_unanswerable
from keymiss.corpus.ingest import ingest
from keymiss.local_stack import running_stack
from keymiss.server.embedded_server import LOOPBACK, free_port

SAMPLE_QUESTIONS = Path(__file__).with_name("sample_questions.jsonl")


@dataclass(frozen=True, slots=True)
class SetQuestion:
    """A question and the answers that are right; there are none when nothing answers it.

    Questions of one group are about the same article or field: nothing is judged by what was fitted
    on its own group. The document, and the number of the sentence, are where the answer stands, if
    that is known.
    """

    text: str
    expected: tuple[str, ...]
    group: str
    document: str = ""
    sentence: int | None = None


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A set of questions, and the files or folders of the articles that they are about."""

    name: str
    articles: list[Path]
    questions: list[SetQuestion]


def squad_set(path: Path, folder: Path, half: bool = True) -> QuestionSet:
    """The questions of a file in SQuAD's format. The articles are written to a folder: all of them,
    or every second one, so that nothing answers the questions about the others."""
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    step = 2 if half else 1
    file = folder / ("half.jsonl" if half else "whole.jsonl")
    with file.open("w", encoding="utf-8") as lines:
        for number, article in enumerate(data[::step]):
            text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
            lines.write(json.dumps({"id": str(number), "text": text}) + "\n")
    questions = [
        SetQuestion(
            qa["question"],
            () if number % step else tuple(answer["text"] for answer in qa["answers"]),
            f"article {number}",
            str(number // step),
        )
        for number, article in enumerate(data)
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    return QuestionSet("half" if half else "squad", [file], questions)


def demo_set() -> QuestionSet:
    """The demo's articles and questions."""
    asked = [
        SetQuestion(one.text, (one.answer,), one.document, one.document) for one in load_questions()
    ]
    beside = [SetQuestion(text, (), text) for text in load_unanswerable()]
    return QuestionSet("demo", [ARTICLES], asked + beside)


def sample_set(folder: Path) -> QuestionSet:
    """The questions of sample_questions.jsonl about the articles in a folder."""
    asked = [
        SetQuestion(
            each["question"],
            (each["answer"],),
            each["document"],
            each["document"],
            each["sentence"],
        )
        for each in _lines(SAMPLE_QUESTIONS)
    ]
    return QuestionSet("sample", [folder], asked)


def open_set(folder: Path) -> QuestionSet:
    """All fields below a folder in one corpus."""
    fields = sorted(path.parent for path in folder.glob("*/questions.jsonl"))
    asked = [
        SetQuestion(
            each["question"],
            tuple(each.get("answers") or ()),
            field.name,
            each.get("document") or "",
        )
        for field in fields
        for each in _lines(field / "questions.jsonl")
    ]
    return QuestionSet("open", [field / "docs" for field in fields], asked)


def further_sets(sample: Path | None, open_fields: Path | None) -> list[QuestionSet]:
    """The demo's set, and those of the sample articles and the open fields, if their folders are
    given."""
    sets = [demo_set()]
    if sample:
        sets.append(sample_set(sample))
    if open_fields:
        sets.append(open_set(open_fields))
    return sets


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@contextmanager
def stack_of(
    asked: QuestionSet,
    model: str,
    precision: str = "auto",
    vectors: VectorsMode = VectorsMode.AUTO,
) -> Iterator[str]:
    """A system with the articles of a set, complete; gives the server's URL."""
    port = free_port()
    with (
        running_stack(None, port, None, model, False, precision, vectors),
        valkey.Valkey(port=port) as client,
    ):
        problems = ingest(client, asked.articles).problems
        assert not problems, problems[:3]
        while client.info("keymiss")["keymiss_pending"]:
            time.sleep(0.1)
        yield f"valkey://{LOOPBACK}:{port}"
