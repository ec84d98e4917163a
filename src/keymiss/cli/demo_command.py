"""The demo starts everything, asks some questions, and stops everything."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Annotated
from urllib.request import Request, urlopen

import typer
from rich.text import Text

from keymiss.asking.answers import CorpusAnswers
from keymiss.cli.ask_commands import ask_all
from keymiss.cli.terminal import ModelOption, app, connect, number_of, out, print_answers
from keymiss.corpus.demo import load_questions
from keymiss.keys import bertqa_key
from keymiss.local_stack import demo_cluster, running_stack, stop_signals
from keymiss.reader import BUNDLED_MODEL
from keymiss.server.embedded_server import LOOPBACK, free_port
from keymiss.server.servers import Servers

PRIMARIES, REPLICAS = 4, 1


@app.command()
def demo(
    model: ModelOption = BUNDLED_MODEL,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Run on four primaries and four replicas.")
    ] = False,
) -> None:
    """Start everything, ask some questions about the demo articles, and stop again."""
    with stop_signals():
        if cluster:
            _on_a_cluster(model)
        else:
            _on_one_server(model)


def _on_one_server(model: str) -> None:
    port = free_port()
    out.print("Starting a Valkey server and a worker, ingesting twenty articles ...")
    with running_stack(None, port, None, model, demo=True):
        url = f"valkey://{LOOPBACK}:{port}"
        keys = []
        for question, answers, seconds in _asked(url, [q.text for q in load_questions()[::12]]):
            print_answers(question, answers, seconds, most=1)
            keys += [bertqa_key(best.sentence, question) for best in answers.answers[:1]]
        if keys:
            _show_plain_get(url, keys[0])
    out.print("\n[bold]Your turn[/bold]")
    out.print(
        "  make serve     the same, and it stays up; then, in another terminal:", highlight=False
    )
    out.print('  .venv/bin/keymiss ask "How does measles spread?"', highlight=False)
    out.print("  README.md      what redis-cli and curl can ask", highlight=False)


def _on_a_cluster(model: str) -> None:
    http_port = free_port()
    servers = number_of(PRIMARIES * (1 + REPLICAS), "server")
    out.print(f"Starting a cluster of {servers} and a worker, ingesting twenty articles ...")
    with demo_cluster(PRIMARIES, REPLICAS, http_port, model) as url:
        shown: dict[str, tuple[str, str]] = {}
        for question, answers, seconds in _asked(url, [each.text for each in load_questions()]):
            if not answers.answers:
                continue
            key = bertqa_key(answers.answers[0].sentence, question)
            node = asyncio.run(_owner(url, key))
            if node not in shown:
                out.print(f"\n[bold]from {node}[/bold]", end="", highlight=False)
                print_answers(question, answers, seconds, most=1)
                shown[node] = (question, key)
            if len(shown) == PRIMARIES:
                break
        question, key = next(iter(shown.values()))
        _show_plain_get(url, key)
        _show_http(http_port, question)
    out.print("\n[bold]Your turn[/bold]")
    out.print("  keymiss cluster up        a cluster that stays", highlight=False)
    out.print("  docs/operations.md        from one machine to twenty", highlight=False)


def _asked(url: str, questions: Sequence[str]) -> Iterator[tuple[str, CorpusAnswers, float]]:
    for question in questions:
        started = time.perf_counter()
        answers = asyncio.run(ask_all(url, [question]))[0]
        yield question, answers, time.perf_counter() - started


async def _owner(url: str, key: str) -> str:
    async with Servers(url) as servers:
        owner = await servers.owner(key)
    return owner.name if owner else "nobody"


def _show_plain_get(url: str, key: str) -> None:
    out.print("\nAny Redis client gets it by a plain GET of a key that does not exist:")
    host, _, port = url.removeprefix("valkey://").partition(":")
    command = ["redis-cli", "-c", "-h", host, "-p", port, "GET", key]
    if shutil.which(command[0]):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        _show(shlex.join(command), done.stdout.strip())
        return
    with connect(url) as client:
        _show(f'GET "{key}"', client.get(key).decode())


def _show_http(port: int, question: str) -> None:
    address = f"http://{LOOPBACK}:{port}/qasearch"
    body = json.dumps({"search": question})
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(address, body.encode(), headers)) as reply:
        first = json.loads(reply.read())["results"][0]
    out.print("\nOver HTTP the whole cluster is asked:")
    command = ["curl", "-H", "Content-Type: application/json", address, "-d", body]
    _show(shlex.join(command), f"{json.dumps(first, ensure_ascii=False)} ...")


def _show(command: str, result: str) -> None:
    out.print(Text(f"  {command}"), soft_wrap=True)
    out.print(Text(f"  {result}", style="green"), soft_wrap=True)
