"""Commands that keep running: serve, worker, web, metrics; and doctor, which checks them."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import uvloop
import valkey
from prometheus_client import CollectorRegistry, start_http_server
from rich.text import Text

from keymiss import functions
from keymiss.answering.metrics import show_reader
from keymiss.answering.vector_memory import VectorsMode
from keymiss.application import load_application
from keymiss.asking.effort import READ_MS
from keymiss.cli.terminal import (
    DEFAULT_HTTP_PORT,
    DEFAULT_PORT,
    DEFAULT_URL,
    EXIT_FAILED,
    DemoOption,
    EncoderOption,
    HttpPortOption,
    MetricsPortOption,
    ModelOption,
    PortOption,
    PrecisionOption,
    UrlOption,
    VectorsOption,
    app,
    out,
    serve_functions,
)
from keymiss.errors import SetupError
from keymiss.local_stack import Interrupted, running_stack, stop_signals, watch_forever
from keymiss.operating.doctor import examine, vectors_note
from keymiss.operating.exporter import ServerCollector
from keymiss.reader import BUNDLED_ENCODER, BUNDLED_MODEL, default_cache
from keymiss.reader.engine.engine_library import instruction_set
from keymiss.reader.network import PRECISIONS
from keymiss.server import client as server_client
from keymiss.server.embedded_server import LOOPBACK

LOOPBACK_NAMES = (LOOPBACK, "::1", "localhost")


@app.command()
def serve(
    port: PortOption = DEFAULT_PORT,
    http_port: HttpPortOption = DEFAULT_HTTP_PORT,
    data: Annotated[Path, typer.Option(help="Where the Valkey server keeps its data.")] = Path(
        "keymiss-data"
    ),
    model: ModelOption = BUNDLED_MODEL,
    demo: DemoOption = False,
    vectors: VectorsOption = VectorsMode.AUTO,
) -> None:
    """Run a Valkey server, a worker and the web server until Ctrl-C.

    With --demo the data is temporary.
    """
    if port == http_port:
        raise SetupError(f"both servers cannot use port {port}; choose another --http-port")
    folder = None if demo else data
    # Ctrl-C is the usual end, not an error.
    with (
        suppress(Interrupted),
        stop_signals(),
        running_stack(folder, port, http_port, model, demo, vectors=vectors) as stack,
    ):
        _say_where(port, http_port)
        watch_forever(stack)


@app.command()
def worker(
    url: UrlOption = DEFAULT_URL,
    app_name: Annotated[
        str | None, typer.Option("--app", help="Serve a Python module's functions instead.")
    ] = None,
    model: ModelOption = BUNDLED_MODEL,
    precision: PrecisionOption = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many threads read.", show_default="as many as the worker may use"
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Where search indexes are kept.", show_default="~/.cache/keymiss"),
    ] = None,
    shards: Annotated[
        str,
        typer.Option(
            help="Which shards of a cluster: local (those on this host), all, or host:port,..."
        ),
    ] = "local",
    vectors: VectorsOption = VectorsMode.AUTO,
    encoder: EncoderOption = BUNDLED_ENCODER,
    metrics_port: MetricsPortOption = None,
) -> None:
    """Serve functions beside the data: search and answers, or your own."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s")
    if metrics_port is not None:
        start_http_server(metrics_port, LOOPBACK)
    if app_name:
        uvloop.run(serve_functions(functions.load_app(app_name), url, shards=shards))
        return
    folder = cache or default_cache()
    ours = load_application(model, folder, precision, threads, vectors, encoder)
    show_reader(ours.reader)
    uvloop.run(serve_functions(ours.functions, url, shards=shards, beside=ours.background))


@app.command()
def web(
    url: UrlOption = DEFAULT_URL,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = LOOPBACK,
    port: HttpPortOption = DEFAULT_HTTP_PORT,
    origins: Annotated[
        list[str],
        typer.Option(
            "--allow-origin", help="A web site whose pages may ask this server; may be repeated."
        ),
    ] = [],  # noqa: B006
    hosts: Annotated[
        list[str],
        typer.Option("--allow-host", help="A host name that requests may use; may be repeated."),
    ] = [],  # noqa: B006
    by_concepts: Annotated[
        bool,
        typer.Option("--by-concepts", help="Read sentences that name a question's concepts, too."),
    ] = False,
    read_ms: Annotated[
        float,
        typer.Option(
            "--read-ms", min=0, help="How many milliseconds of a reader a question may take."
        ),
    ] = READ_MS,
    log: Annotated[
        bool, typer.Option("--log", help="Write a line of JSON for each question to stderr.")
    ] = False,
) -> None:
    """Serve the HTTP API."""
    if log:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    import uvicorn

    from keymiss.web.http_app import create_app
    from keymiss.web.visitors import secret_from_environment

    # On loopback, only proxies and pages of other sites ask for other names.
    names = [*LOOPBACK_NAMES, *hosts] if hosts or host in LOOPBACK_NAMES else []
    web_app = create_app(url, secret_from_environment(), origins, by_concepts, names, read_ms)
    # httptools, the faster parser, would collect headers without a limit.
    uvicorn.run(web_app, host=host, port=port, log_level="warning", http="h11")


@app.command()
def metrics(
    url: UrlOption = DEFAULT_URL,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 9390,
) -> None:
    """Show the figures of the Valkey servers to Prometheus until Ctrl-C."""
    registry = CollectorRegistry()
    registry.register(ServerCollector(url))
    server, thread = start_http_server(port, host, registry)
    with suppress(Interrupted), stop_signals():
        thread.join()
    server.shutdown()


@app.command()
def doctor(url: UrlOption = DEFAULT_URL) -> None:
    """Show what is wrong with the installation or the running system; exit 1 if anything is."""
    try:
        client = server_client.connect(url)
    except valkey.ValkeyError:
        client = valkey.Valkey.from_url(url)  # `examine` finds what is wrong
    with client:
        defects = examine(client)
        note = vectors_note(client)
    for defect in defects:
        out.print(Text(f"{defect.wrong}\n    {defect.advice}"), soft_wrap=True)
    sets = ", ".join(f"{each} with {instruction_set(each)}" for each in PRECISIONS)
    out.print(f"the reader computes {sets}", highlight=False, soft_wrap=True)
    if note:
        out.print(f"vectors: {note}", highlight=False, soft_wrap=True)
    if defects:
        raise typer.Exit(EXIT_FAILED)
    out.print("all is well")


def _say_where(port: int, http_port: int) -> None:
    out.print(f"Valkey   valkey://{LOOPBACK}:{port}", highlight=False)
    out.print(f"HTTP     http://{LOOPBACK}:{http_port}  (POST /qasearch)", highlight=False)
    out.print('Ask      keymiss ask "How does measles spread?"', highlight=False)
    out.print("Stop     Ctrl-C", highlight=False)
