"""The commands a person types."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import valkey
import valkey.asyncio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from valkey.connection import parse_url

from keymiss import functions
from keymiss.answers.app import application
from keymiss.answers.asking import Answer, Answers, ask
from keymiss.answers.evaluation import score
from keymiss.corpus.demo import load_questions
from keymiss.corpus.formats import find_files
from keymiss.corpus.ingest import Report, ingest
from keymiss.errors import BadInput, KeymissError, SetupError, Unavailable
from keymiss.reader import BUNDLED_MODEL
from keymiss.server.embedded import LOOPBACK, free_port
from keymiss.server.keys import bertqa_key
from keymiss.stack import EXIT_SETUP, Interrupted, running_stack, stop_signals, watch_forever

DEFAULT_PORT = 6390
DEFAULT_HTTP_PORT = 8390
EXIT_FAILED = 1

app = typer.Typer(
    help="Answers questions from text that lives in Valkey.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)


def _checked_url(url: str | None) -> str | None:
    try:
        if url is not None:
            parse_url(url)
    except ValueError as error:
        raise SetupError(f"{url!r} is no server's URL: {error}") from None
    return url


Url = Annotated[
    str,
    typer.Option(
        envvar="KEYMISS_URL", help="The Valkey server, valkey://host:port.", callback=_checked_url
    ),
]
Model = Annotated[str, typer.Option(help="A model folder, or the bundled model's name.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The Valkey server's port.")]
HttpPort = Annotated[int, typer.Option(min=1, max=65535, help="The web server's port.")]
Demo = Annotated[bool, typer.Option("--demo", help="Use the twenty demo articles.")]
DEFAULT_URL = f"valkey://{LOOPBACK}:{DEFAULT_PORT}"


@app.command()
def serve(
    port: Port = DEFAULT_PORT,
    http_port: HttpPort = DEFAULT_HTTP_PORT,
    data: Annotated[Path, typer.Option(help="Where the Valkey server keeps its data.")] = Path(
        "keymiss-data"
    ),
    model: Model = BUNDLED_MODEL,
    demo: Demo = False,
) -> None:
    """Run a Valkey server, a worker and the web server until Ctrl-C.

    With --demo the data is temporary.
    """
    if port == http_port:
        raise SetupError(f"both servers cannot use port {port}; choose another --http-port")
    folder = None if demo else data
    # Ctrl-C is how it is meant to end.
    with (
        suppress(Interrupted),
        stop_signals(),
        running_stack(folder, port, http_port, model, demo) as processes,
    ):
        _say_where(port, http_port)
        watch_forever(processes, f"valkey://{LOOPBACK}:{port}")


@app.command()
def worker(
    url: Url = DEFAULT_URL,
    app_name: Annotated[
        str | None, typer.Option("--app", help="Serve the functions of this module instead.")
    ] = None,
    model: Model = BUNDLED_MODEL,
) -> None:
    """Serve functions beside the data: search and answers, or your own."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s")
    served = functions.load_app(app_name) if app_name else application(model)
    asyncio.run(_work(served, url))


@app.command()
def web(
    url: Url = DEFAULT_URL,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = LOOPBACK,
    port: HttpPort = DEFAULT_HTTP_PORT,
) -> None:
    """Serve the HTTP API."""
    import uvicorn

    from keymiss.web.app import create_app

    uvicorn.run(create_app(url), host=host, port=port, log_level="warning")


@app.command("ingest")
def ingest_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Files or folders: CORD-19 .json, .jsonl, .md, .txt.")
    ],
    url: Url = DEFAULT_URL,
) -> None:
    """Store documents; those that cannot be read are reported and left out."""
    total = sum(1 for _ in find_files(paths))
    with _client(url) as client, _progress() as progress:
        task = progress.add_task("ingest", total=total)
        report = ingest(client, paths, lambda path: progress.advance(task))
    for problem in report.problems:
        err.print(Text(f"left out: {problem}", style="yellow"), soft_wrap=True)
    out.print(_summary(report), highlight=False)
    if report.problems:
        raise typer.Exit(EXIT_FAILED)


@app.command("ask")
def ask_command(
    question: Annotated[str, typer.Argument(help="The question.")], url: Url = DEFAULT_URL
) -> None:
    """Answer a question from the corpus."""
    started = time.perf_counter()
    answers = asyncio.run(_ask_all(url, [question]))[0]
    _print_answers(question, answers, time.perf_counter() - started)


@app.command("eval")
def evaluate(
    demo: Demo = False,
    url: Annotated[
        str | None,
        typer.Option(help="A server that holds the demo articles.", callback=_checked_url),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model: Model = BUNDLED_MODEL,
) -> None:
    """Ask the demo questions and score the answers."""
    if not demo:
        raise BadInput("say --demo: the demo questions are the ones to evaluate")
    questions = load_questions()
    with ExitStack() as stack:
        if url is None:
            port = free_port()
            stack.enter_context(stop_signals())
            stack.enter_context(running_stack(None, port, None, model, demo=True))
            url = f"valkey://{LOOPBACK}:{port}"
        answers = asyncio.run(_ask_all(url, [question.text for question in questions]))
    texts = [[answer.text for answer in one.answers] for one in answers]
    expected = [question.answer for question in questions]
    scores = asdict(score(list(zip(texts, expected, strict=True))))
    if as_json:
        print(json.dumps(scores))
    else:
        for name, value in scores.items():
            out.print(f"{name:>12}  {value}")


@app.command()
def demo(model: Model = BUNDLED_MODEL) -> None:
    """Start everything, ask some questions about the demo articles, and stop again."""
    port = free_port()
    asked = [question.text for question in load_questions()[::12]]
    out.print("Starting a Valkey server and a worker, ingesting twenty articles ...")
    with stop_signals(), running_stack(None, port, None, model, demo=True):
        url = f"valkey://{LOOPBACK}:{port}"
        for question in asked:
            started = time.perf_counter()
            answers = asyncio.run(_ask_all(url, [question]))[0]
            _print_answers(question, answers, time.perf_counter() - started, most=1)
        _show_plain_get(url, asked[0])
    out.print("\n[bold]Your turn[/bold]")
    out.print(
        "  make serve     the same, and it stays up; then, in another terminal:", highlight=False
    )
    out.print('  .venv/bin/keymiss ask "How does measles spread?"', highlight=False)
    out.print("  README.md      what redis-cli and curl can ask", highlight=False)


def main() -> None:
    """Runs a command; what can be explained is one line and a status, never a traceback."""
    try:
        app(standalone_mode=True)
    except KeymissError as error:
        err.print(Text(f"keymiss: {error}"), soft_wrap=True)
        sys.exit(EXIT_SETUP if isinstance(error, SetupError) else EXIT_FAILED)
    except valkey.ValkeyError as error:
        err.print(Text(f"keymiss: the Valkey server cannot be used: {error}"), soft_wrap=True)
        sys.exit(EXIT_FAILED)


# ---- what the commands share ----


async def _work(served: list[functions.Function], url: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    names = ", ".join(function.name for function in served)
    logging.getLogger("keymiss").info("serving %s", names)
    await functions.serve(served, url, stop)


async def _ask_all(url: str, questions: list[str]) -> list[Answers]:
    async with valkey.asyncio.Valkey.from_url(url) as client:
        return [await ask(client, question) for question in questions]


def _client(url: str) -> valkey.Valkey:
    try:
        client = valkey.Valkey.from_url(url)
        client.ping()
    except valkey.ConnectionError as error:
        raise Unavailable(
            f"no Valkey server at {url}: {error}; start one with `keymiss serve`"
        ) from None
    return client


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=err, transient=True)


def _summary(report: Report) -> str:
    return (
        f"{report.stored} documents stored with {report.sentences} sentences, "
        f"{report.unchanged} unchanged, {len(report.problems)} left out"
    )


def _print_answers(question: str, answers: Answers, seconds: float, most: int = 5) -> None:
    out.print(Text(f"\n{question}", style="bold"), soft_wrap=True)
    if not answers.answers:
        out.print("  no answer in the corpus")
    for number, answer in enumerate(answers.answers[:most], start=1):
        out.print(Text(f"{number}. {answer.text}", style="green"), soft_wrap=True)
        out.print(_place(answer), soft_wrap=True)
    note = "" if answers.complete else ", incomplete"
    out.print(f"   [dim]{1000 * seconds:.0f} ms{note}[/dim]", highlight=False)


def _place(answer: Answer) -> Text:
    text = Text(f"   {answer.sentence_text}", style="default")
    text.stylize("bold underline green", 3 + answer.start, 3 + answer.end)
    text.append(f"\n   {answer.title}, {answer.sentence}", style="dim")
    return text


def _say_where(port: int, http_port: int) -> None:
    out.print(f"Valkey   valkey://{LOOPBACK}:{port}", highlight=False)
    out.print(f"HTTP     http://{LOOPBACK}:{http_port}  (POST /qasearch)", highlight=False)
    out.print('Ask      keymiss ask "How does measles spread?"', highlight=False)
    out.print("Stop     Ctrl-C", highlight=False)


def _show_plain_get(url: str, question: str) -> None:
    best = asyncio.run(_ask_all(url, [question]))[0].answers
    if not best:
        return
    key = bertqa_key(best[0].sentence, question)
    with _client(url) as client:
        value = client.get(key)
    out.print("\nAny Redis client gets it by a plain GET of a key that does not exist:")
    out.print(Text(f'  GET "{key}"'), soft_wrap=True)
    out.print(Text(f'  "{value.decode()}"', style="green"), soft_wrap=True)
