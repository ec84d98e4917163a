"""Commands that ask questions: ask, eval."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from keymiss.asking.answers import CorpusAnswers, ask
from keymiss.asking.effort import Effort
from keymiss.cli.terminal import (
    DEFAULT_URL,
    URL_VARIABLE,
    AsJsonOption,
    DemoOption,
    ModelOption,
    UrlOption,
    app,
    checked_url,
    number_of,
    out,
    print_answers,
)
from keymiss.corpus.demo import load_questions, load_unanswerable
from keymiss.errors import BadInput
from keymiss.evaluation.answer_scores import score, score_refusals
from keymiss.evaluation.corpus_evaluation import CorpusScores, Judged, judge, score_corpus
from keymiss.evaluation.question_file import ExpectedAnswer, load_expected
from keymiss.local_stack import running_stack, stop_signals
from keymiss.reader import BUNDLED_MODEL
from keymiss.server.embedded_server import LOOPBACK, free_port
from keymiss.server.servers import Servers

EffortOption = Annotated[Effort, typer.Option(help="How much is read for a question.")]


@app.command("ask")
def ask_command(
    question: Annotated[str, typer.Argument(help="The question.")],
    url: UrlOption = DEFAULT_URL,
    effort: EffortOption = Effort.NORMAL,
) -> None:
    """Answer a question from the corpus."""
    started = time.perf_counter()
    answers = asyncio.run(ask_all(url, [question], effort))[0]
    print_answers(question, answers, time.perf_counter() - started)


@app.command("eval")
def evaluate(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Questions with their answers, as JSON lines or in SQuAD's format.",
            show_default=False,
        ),
    ] = None,
    demo: DemoOption = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="The server that holds the documents; for the demo, one is started.",
            callback=checked_url,
        ),
    ] = None,
    as_json: AsJsonOption = False,
    model: ModelOption = BUNDLED_MODEL,
    effort: EffortOption = Effort.NORMAL,
) -> None:
    """Ask questions whose answers are known, and show where answers are lost.

    FILE has your questions, asked of the documents on the server; --demo asks the demo's.
    """
    if demo == (file is not None):
        raise BadInput("name a file with questions and their answers, or say --demo")
    if file is None:
        _evaluate_demo(url, model, as_json, effort)
        return
    judged = asyncio.run(
        _judge_all(url or os.environ.get(URL_VARIABLE) or DEFAULT_URL, load_expected(file), effort)
    )
    scores = score_corpus(judged)
    if as_json:
        print(json.dumps({**asdict(scores), "each": [asdict(one) for one in judged]}))
    else:
        _print_scores(scores)


def _print_scores(scores: CorpusScores) -> None:
    shares = {
        "right first": scores.right_first,
        "right among five": scores.right_among_five,
        "F1 of the first": scores.f1,
        "right document among five": scores.document_among_five,
    }
    out.print(f"{number_of(scores.questions, 'question')} with an answer", highlight=False)
    for name, share in shares.items():
        if share:
            interval = f"({share.low:.1f} to {share.high:.1f})"
            out.print(f"  {name:26} {share.percent:5.1f} %  {interval}", highlight=False)
    for name, count in scores.lost.items():
        out.print(f"  {name:26} {count:5}", highlight=False)
    if scores.refused or scores.answered:
        unanswerable = scores.refused + scores.answered
        out.print(f"{number_of(unanswerable, 'question')} that nothing answers", highlight=False)
        out.print(f"  {'refused':26} {scores.refused:5}", highlight=False)


async def _judge_all(url: str, asked: list[ExpectedAnswer], effort: Effort) -> list[Judged]:
    async with Servers(url) as servers:
        return [await judge(servers, one, effort) for one in asked]


def _evaluate_demo(url: str | None, model: str, as_json: bool, effort: Effort) -> None:
    questions, unanswerable = load_questions(), load_unanswerable()
    asked = [*(question.text for question in questions), *unanswerable]
    with ExitStack() as stack:
        if url is None:
            port = free_port()
            stack.enter_context(stop_signals())
            stack.enter_context(running_stack(None, port, None, model, demo=True))
            url = f"valkey://{LOOPBACK}:{port}"
        answers = asyncio.run(ask_all(url, asked, effort))
    found, beside = answers[: len(questions)], answers[len(questions) :]
    texts = [[answer.text for answer in one.answers] for one in found]
    expected = [question.answer for question in questions]
    refusals = score_refusals(
        [not one.answered for one in found], [not one.answered for one in beside]
    )
    scores = {
        **asdict(score(list(zip(texts, expected, strict=True)))),
        "no_answer": asdict(refusals),
    }
    if as_json:
        print(json.dumps(scores))
    else:
        for name, value in scores.items():
            out.print(f"{name:>12}  {value}")


async def ask_all(
    url: str, questions: list[str], effort: Effort = Effort.NORMAL
) -> list[CorpusAnswers]:
    async with Servers(url) as servers:
        return [await ask(servers, question, effort=effort) for question in questions]
