"""Commands that keep running: serve, worker, web; and the demo."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import valkey
from rich.text import Text

from keymiss import functions
from keymiss.answers.app import application
from keymiss.answers.doctor import examine
from keymiss.cli.asking import ask_all
from keymiss.cli.terminal import (
    DEFAULT_HTTP_PORT,
    DEFAULT_PORT,
    DEFAULT_URL,
    EXIT_FAILED,
    Demo,
    HttpPort,
    Model,
    Port,
    Precision,
    Url,
    app,
    connect,
    out,
    print_answers,
    serve_functions,
)
from keymiss.corpus.demo import load_questions
from keymiss.errors import SetupError
from keymiss.reader import BUNDLED_MODEL, default_cache
from keymiss.server.embedded import LOOPBACK, free_port
from keymiss.server.keys import bertqa_key
from keymiss.stack import Interrupted, running_stack, stop_signals, watch_forever


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
    precision: Precision = "auto",
    cache: Annotated[
        Path | None,
        typer.Option(help="Where search indexes are kept.", show_default="~/.cache/keymiss"),
    ] = None,
    shards: Annotated[
        str,
        typer.Option(help="Of a cluster: local, those on this host; all; or host:port,..."),
    ] = "local",
) -> None:
    """Serve functions beside the data: search and answers, or your own."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s")
    served = (
        functions.load_app(app_name)
        if app_name
        else application(model, cache or default_cache(), precision)
    )
    asyncio.run(serve_functions(served, url, shards=shards))


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


@app.command()
def doctor(url: Url = DEFAULT_URL) -> None:
    """Say what is wrong with the installation or the running system; exit 1 when something is."""
    with valkey.Valkey.from_url(url) as client:
        findings = examine(client)
    for finding in findings:
        out.print(Text(f"{finding.wrong}\n    {finding.advice}"), soft_wrap=True)
    if findings:
        raise typer.Exit(EXIT_FAILED)
    out.print("all is well")


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
            answers = asyncio.run(ask_all(url, [question]))[0]
            print_answers(question, answers, time.perf_counter() - started, most=1)
        _show_plain_get(url, asked[0])
    out.print("\n[bold]Your turn[/bold]")
    out.print(
        "  make serve     the same, and it stays up; then, in another terminal:", highlight=False
    )
    out.print('  .venv/bin/keymiss ask "How does measles spread?"', highlight=False)
    out.print("  README.md      what redis-cli and curl can ask", highlight=False)


def _say_where(port: int, http_port: int) -> None:
    out.print(f"Valkey   valkey://{LOOPBACK}:{port}", highlight=False)
    out.print(f"HTTP     http://{LOOPBACK}:{http_port}  (POST /qasearch)", highlight=False)
    out.print('Ask      keymiss ask "How does measles spread?"', highlight=False)
    out.print("Stop     Ctrl-C", highlight=False)


def _show_plain_get(url: str, question: str) -> None:
    best = asyncio.run(ask_all(url, [question]))[0].answers
    if not best:
        return
    key = bertqa_key(best[0].sentence, question)
    with connect(url) as client:
        value = client.get(key)
    out.print("\nAny Redis client gets it by a plain GET of a key that does not exist:")
    out.print(Text(f'  GET "{key}"'), soft_wrap=True)
    out.print(Text(f'  "{value.decode()}"', style="green"), soft_wrap=True)
