"""Commands that ask questions: ask, eval."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated

import typer

from keymiss.asking.answers import CorpusAnswers, ask
from keymiss.cli.terminal import (
    DEFAULT_URL,
    AsJsonOption,
    DemoOption,
    ModelOption,
    UrlOption,
    app,
    checked_url,
    out,
    print_answers,
)
from keymiss.corpus.demo import load_questions, load_unanswerable
from keymiss.errors import BadInput
from keymiss.evaluation.answer_scores import score, score_refusals
from keymiss.local_stack import running_stack, stop_signals
from keymiss.reader import BUNDLED_MODEL
from keymiss.server.embedded_server import LOOPBACK, free_port
from keymiss.server.servers import Servers


@app.command("ask")
def ask_command(
    question: Annotated[str, typer.Argument(help="The question.")], url: UrlOption = DEFAULT_URL
) -> None:
    """Answer a question from the corpus."""
    started = time.perf_counter()
    answers = asyncio.run(ask_all(url, [question]))[0]
    print_answers(question, answers, time.perf_counter() - started)


@app.command("eval")
def evaluate(
    demo: DemoOption = False,
    url: Annotated[
        str | None,
        typer.Option(
            help="A server that holds the demo articles; without it, one is started.",
            callback=checked_url,
        ),
    ] = None,
    as_json: AsJsonOption = False,
    model: ModelOption = BUNDLED_MODEL,
) -> None:
    """Ask the demo questions and score the answers."""
    if not demo:
        raise BadInput("say --demo: only the demo questions can be evaluated")
    questions, unanswerable = load_questions(), load_unanswerable()
    asked = [*(question.text for question in questions), *unanswerable]
    with ExitStack() as stack:
        if url is None:
            port = free_port()
            stack.enter_context(stop_signals())
            stack.enter_context(running_stack(None, port, None, model, demo=True))
            url = f"valkey://{LOOPBACK}:{port}"
        answers = asyncio.run(ask_all(url, asked))
    texts = [[answer.text for answer in one.answers] for one in answers]
    found, beside = texts[: len(questions)], texts[len(questions) :]
    expected = [question.answer for question in questions]
    refusals = score_refusals([not one for one in found], [not one for one in beside])
    scores = {
        **asdict(score(list(zip(found, expected, strict=True)))),
        "no_answer": asdict(refusals),
    }
    if as_json:
        print(json.dumps(scores))
    else:
        for name, value in scores.items():
            out.print(f"{name:>12}  {value}")


async def ask_all(url: str, questions: list[str]) -> list[CorpusAnswers]:
    async with Servers(url) as servers:
        return [await ask(servers, question) for question in questions]
