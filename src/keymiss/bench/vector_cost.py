"""Measures what finding by vectors costs, beside finding by words alone.

    python -m keymiss.bench.vector_cost [SENTENCES]     40,000 generated ones by default
    python -m keymiss.bench.vector_cost FOLDER          the articles of a folder

Two servers hold the same text, one with a worker with vectors, one with a worker without. They are
asked in turn. Prints the time of a search, the bytes of a sentence, how fast vectors are made, and
how long a question takes while they are made. Then it compares, in one process, how many tokens a
second the encoder and the reader read.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import valkey

from keymiss.bench.bench_processes import (
    BenchProcess,
    ask_once,
    resident_bytes,
    started_process,
)
from keymiss.bench.corpus_cost import find, generate, wait_until_derived
from keymiss.bench.module_cost import embedded_server
from keymiss.bench.reader_pairs import SHORT_QUESTION, Pairs
from keymiss.bench.stopwatch import milliseconds
from keymiss.corpus.demo import ARTICLES, load_questions
from keymiss.corpus.ingest import ingest
from keymiss.function_names import ALWAYS_SERVED
from keymiss.operating.served_functions import parse_list, unserved
from keymiss.reader import BUNDLED_MODEL, Encoder, Reader
from keymiss.server.embedded_server import free_port, listens

ASKED_AT_MOST = 400
DEMO_DOCUMENTS = 20
EXTRA = 5000
WAYS = ("off", "on")


@dataclass(frozen=True, slots=True)
class MeasuredSystem:
    """A server with a worker and a web server."""

    client: valkey.Valkey
    worker: BenchProcess
    http_port: int


def started(stack: ExitStack, way: str) -> MeasuredSystem:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = stack.enter_context(embedded_server(folder))
    cache = ("--cache", str(folder / "cache"), "--vectors", way)
    worker = stack.enter_context(started_process(server.url, "worker", *cache))
    port = free_port()
    stack.enter_context(started_process(server.url, "web", "--port", str(port)))
    client = stack.enter_context(valkey.Valkey(port=server.port))
    while not listens(port):
        time.sleep(0.05)
    while unserved(parse_list(client.execute_command("KEYMISS.LIST")), ALWAYS_SERVED):
        time.sleep(0.05)
    return MeasuredSystem(client, worker, port)


def searches(
    systems: Sequence[MeasuredSystem], questions: Sequence[str], round_: int
) -> list[float]:
    """The median time of a search in each system, in milliseconds."""
    times: list[list[float]] = [[] for _ in systems]
    for number, question in enumerate(questions):
        order = range(len(systems)) if (number + round_) % 2 else range(len(systems))[::-1]
        for one in order:
            times[one].append(milliseconds(find, systems[one].client, question))
    return [statistics.median(each) for each in times]


def asked_while_made(system: MeasuredSystem, extra: Path) -> tuple[float, float, float]:
    """The median time of questions that were not asked before, in milliseconds: idle, and while
    vectors are made; and how long these took, in seconds."""
    questions = [one.text for one in load_questions()]
    numbers = itertools.count()

    def ask_another() -> float:
        number = next(numbers)
        question = f"{questions[number % len(questions)]} {number}"
        return milliseconds(ask_once, system.http_port, question)

    def are_made() -> bool:
        return not system.client.info("keymiss")["keymiss_pending"]

    ingest(system.client, [extra])
    began, busy = time.perf_counter(), []
    while not are_made():
        busy.append(ask_another())
    seconds = time.perf_counter() - began
    # Over the same text: the more there is, the longer is what is read.
    idle = [ask_another() for _ in range(max(50, len(busy) // 4))]
    return statistics.median(idle), statistics.median(busy), seconds


def tokens_a_second() -> tuple[float, float]:
    """How many tokens a second the reader reads in one batch, and the encoder."""
    reader, encoder = Reader.from_pretrained(BUNDLED_MODEL), Encoder.from_pretrained()
    pairs = [(SHORT_QUESTION, passage) for passage in Pairs((104,) * 10).passages()]
    rows = [row.tokens for row in reader.rows(pairs)]
    texts = ["The virus spreads through the air when people cough, speak or sing together."] * 256
    count = sum(len(ids) + 2 for ids in reader.tokenizer.encode(texts))
    best = [0.0, 0.0]
    for _ in range(20):
        started_at = time.perf_counter()
        list(reader.network.logits(rows))
        read = sum(len(row.ids) for row in rows)
        best[0] = max(best[0], read / (time.perf_counter() - started_at))
        started_at = time.perf_counter()
        encoder.encode_yielding(texts)
        best[1] = max(best[1], count / (time.perf_counter() - started_at))
    return best[0], best[1]


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else "40000"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        questions = [one.text for one in load_questions()]
        if given.isdigit():
            questions = generate(folder, int(given))[:ASKED_AT_MOST]
        else:
            folder = Path(given)
        systems = [started(stack, way) for way in WAYS]
        for each in systems:  # what the first documents take is not for their sentences
            wait_until_derived(each.client, ingest(each.client, [ARTICLES]).stored)
            find(each.client, "Who?")
        memory = [resident_bytes(each.worker.pid) for each in systems]
        data = [each.client.info("memory")["used_memory_dataset"] for each in systems]
        began = time.perf_counter()
        for each in systems:
            report = ingest(each.client, [folder])
            wait_until_derived(each.client, report.stored + DEMO_DOCUMENTS)
            began, seconds = time.perf_counter(), time.perf_counter() - began
        grown = [
            (resident_bytes(each.worker.pid) - before) / report.sentences
            for each, before in zip(systems, memory, strict=True)
        ]
        stored = [
            each.client.info("memory")["used_memory_dataset"] - before
            for each, before in zip(systems, data, strict=True)
        ]
        print(f"{report.sentences} sentences, {report.sentences / seconds:.0f} a second")
        print(f"worker: {grown[1] - grown[0]:.0f} bytes a sentence for vectors")
        print(f"Valkey: {(stored[1] - stored[0]) / report.sentences:.0f}")
        for round_, what in enumerate(("first", "again")):
            off, on = searches(systems, questions, round_)
            print(
                f"a search, {what}: by words {off:.2f} ms, by vectors too {on:.2f}: {on / off:.2f}"
            )
        extra = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generate(extra, EXTRA, "more")
        idle, busy, took = asked_while_made(systems[1], extra)
        print(
            f"a new question takes {idle:.1f} ms, while vectors are made {busy:.1f}: "
            f"{busy / idle:.2f} ({EXTRA} sentences in {took:.1f} s)"
        )
    read, encoded = tokens_a_second()
    print(f"the reader reads {read:.0f} tokens a second, the encoder {encoded:.0f}")
    print(f"{encoded / read:.2f}")


if __name__ == "__main__":
    main()
