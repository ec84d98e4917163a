"""What the commands share: the application, options, and the look of the output."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
import valkey
from rich.console import Console
from rich.text import Text
from valkey.connection import parse_url

from keymiss import functions
from keymiss.answering.vector_memory import VectorsMode
from keymiss.application import Background
from keymiss.asking.answers import CorpusAnswer, CorpusAnswers
from keymiss.errors import SetupError, Unavailable
from keymiss.server.client import Client
from keymiss.server.client import connect as connect_to
from keymiss.server.embedded_server import LOOPBACK

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


def checked_url(url: str | None) -> str | None:
    try:
        if url is not None:
            parse_url(url)
    except ValueError as error:
        raise SetupError(f"{url!r} is not a server's URL: {error}") from None
    return url


URL_VARIABLE = "KEYMISS_URL"
UrlOption = Annotated[
    str,
    typer.Option(
        envvar=URL_VARIABLE, help="The Valkey server, valkey://host:port.", callback=checked_url
    ),
]
ModelOption = Annotated[str, typer.Option(help="A model folder, or the bundled model's name.")]
PrecisionOption = Annotated[
    str, typer.Option(help="fp32, bf16, int8, or auto: the fastest that the model may use here.")
]
VectorsOption = Annotated[
    VectorsMode,
    typer.Option(
        "--vectors", help="Find sentences by their meaning, too; auto: where there is memory."
    ),
]
EncoderOption = Annotated[
    str, typer.Option(help="The model of the vectors: a folder, or the bundled encoder's name.")
]
PortOption = Annotated[int, typer.Option(min=1, max=65535, help="The Valkey server's port.")]
HttpPortOption = Annotated[int, typer.Option(min=1, max=65535, help="The web server's port.")]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Show metrics to Prometheus on this loopback port."),
]
AsJsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DemoOption = Annotated[bool, typer.Option("--demo", help="Use the twenty demo articles.")]
DEFAULT_URL = f"valkey://{LOOPBACK}:{DEFAULT_PORT}"


def number_of(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def connect(url: str) -> Client:
    try:
        client = connect_to(url)
    except valkey.ConnectionError as error:
        raise Unavailable(
            f"no Valkey server at {url}: {error}; start one with `keymiss serve`"
        ) from None
    return client


async def serve_functions(
    served: Sequence[functions.Function],
    url: str,
    on_ready: Callable[[], None] = lambda: None,
    shards: str = "local",
    beside: Sequence[Background] = (),
) -> None:
    """Serves functions until Ctrl-C or SIGTERM, then finishes the items in hand.

    `beside` runs in the same process.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    names = ", ".join(function.name for function in served)
    logging.getLogger("keymiss").info("serving %s", names)
    serving = [asyncio.create_task(functions.serve(served, url, stop, on_ready, shards))]
    serving += [asyncio.create_task(run(url, stop, shards)) for run in beside]
    try:
        await asyncio.gather(*serving)
    finally:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def print_answers(question: str, answers: CorpusAnswers, seconds: float, most: int = 5) -> None:
    out.print(Text(f"\n{question}", style="bold"), soft_wrap=True)
    if not answers.answered:
        least = ", these are the best of what was read:" if answers.answers else ""
        out.print(f"  no answer in the corpus{least}")
    for number, answer in enumerate(answers.answers[:most], start=1):
        out.print(Text(f"{number}. {answer.text}", style="green"), soft_wrap=True)
        out.print(_place(answer), soft_wrap=True)
    note = "" if answers.complete else ", incomplete"
    out.print(f"   [dim]{1000 * seconds:.0f} ms{note}[/dim]", highlight=False)


def _place(answer: CorpusAnswer) -> Text:
    text = Text(f"   {answer.sentence_text}", style="default")
    text.stylize("bold underline green", 3 + answer.start, 3 + answer.end)
    text.append(f"\n   {answer.title}, {answer.sentence}", style="dim")
    return text
