"""Repeats the measurements of the article that keymiss builds on, in its order: "Benchmarks for
BERT Large Question Answering inference for RedisAI and RedisGears" (Mikhalev and Johnston 2022)."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import valkey

from keymiss.asking.candidate_search import find
from keymiss.asking.effort import Effort, candidates_read
from keymiss.asking.passages import cut_passages
from keymiss.bench.article_rows import KEYMISS, OLD, Row
from keymiss.bench.bench_processes import COUNTED_SECONDS
from keymiss.bench.cold_start import Ran, has_old_way, run_old_way, run_reader
from keymiss.bench.http_questions import ask, web_connection
from keymiss.corpus.demo import load_questions
from keymiss.keys import (
    bertqa_key,
    decode,
    document_of_sentence,
    modelinfo_key,
    statistics_key,
)
from keymiss.local_stack import running_stack
from keymiss.reader import model_folder
from keymiss.reader.checkpoint import model_name
from keymiss.reader.cpu_info import processor_name
from keymiss.reader.network import Precision
from keymiss.reader.precision import choose_precision
from keymiss.search.question import normalise_question
from keymiss.server.embedded_server import LOOPBACK, free_port
from keymiss.server.servers import Servers

SCRIPT_SECONDS, QASEARCH_SECONDS, GETS_PER_SECOND = 10.351818372, 0.747, 5.7
"""What the article measured: its plain script (processor time, loading included), `/qasearch`, and
ten GETs of a function key by fifty clients."""

QUESTION = "Who performs viral transmission among adults"
"""The question that the article asked. `redis-benchmark` makes ten keys with twelve digits after
it."""

REQUESTS, CLIENTS = 10, 50
"""How many requests are sent, by how many clients: those of `redis-benchmark -n 10 -c 50`."""

BEHIND_OTHERS = 'echo 19 > /proc/self/autogroup; exec nice -n 19 "$0" "$@"'
"""This shell command runs `redis-benchmark` at the lowest priority. With more clients than requests
it spins, and would take a processor from what it measures. Linux weighs sessions first, then
processes."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A running system, and the values that its rows have in common."""

    folder: Path
    precision: Precision
    hardware: str
    port: int
    http_port: int
    repeats: int

    def row(
        self, name: str, value: float, unit: str, article: float | None = None, way: str = KEYMISS
    ) -> Row:
        model = f"{model_name(self.folder)}, {self.precision}"
        return Row(name, model, way, value, unit, article, self.hardware)

    def forget(self) -> None:
        """Drops all answers that are stored or being computed."""
        with valkey.Valkey(LOOPBACK, self.port) as client:
            for key in client.scan_iter("*qa{*", count=1000):
                client.execute_command("KEYMISS.DROP", key)

    def ask(self, questions: Sequence[str]) -> list[float]:
        """Asks one question after the other on one HTTP connection, and returns their seconds."""
        seconds = []
        with web_connection(self.http_port) as web:
            web.connect()
            for question in questions:
                started = time.perf_counter()
                ask(web, question)
                seconds.append(time.perf_counter() - started)
        return seconds


def measure_article(model: str, repeats: int, wanted: str = "auto") -> Iterator[Row]:
    """Measures a model, and yields the rows.

    Args:
        model: the model's folder or name.
        repeats: how often each value is measured; the median counts.
        wanted: the precision in which the model reads.
    """
    folder = model_folder(model)
    precision = choose_precision(wanted, folder)
    bench = Bench(folder, precision, _hardware(), free_port(), free_port(), repeats)
    questions = [question.text for question in load_questions()]
    with running_stack(None, bench.port, bench.http_port, model, demo=True, precision=precision):
        bench.ask(questions[-1:])
        texts = asyncio.run(_texts(bench, questions[0]))
        first, again = bench.ask(questions[:repeats]), bench.ask(questions[:repeats])
        anew = _asked_anew(bench, questions[0])
        gets = list(_gets(bench, questions, sorted(texts, key=lambda name: len(texts[name]))))
        told = list(_told(bench, questions[repeats : 2 * repeats]))
    yield from _script(bench, questions[0], list(texts.values()))
    yield bench.row(
        "POST /qasearch, first time", statistics.median(first) * 1000, "ms", QASEARCH_SECONDS * 1000
    )
    yield bench.row("POST /qasearch, again", statistics.median(again) * 1000, "ms")
    yield from _reading(bench, questions[0], list(texts.values()), anew)
    yield from gets
    yield from told


def _hardware() -> str:
    """The name of this machine's processor, and how many cores it has."""
    return f"{os.cpu_count()} cores of {processor_name()}"


Way: TypeAlias = Callable[[Path, str, str, Sequence[str]], Ran]


def _ways() -> list[tuple[str, Way]]:
    old, ours = (OLD, run_old_way), (KEYMISS, run_reader)
    return [old, ours] if has_old_way() else [ours]


def _repeated(bench: Bench, run: Way, question: str, texts: Sequence[str]) -> list[Ran]:
    repeats = bench.repeats // 2 or 1
    return [run(bench.folder, bench.precision, question, texts) for _ in range(repeats)]


def _script(bench: Bench, question: str, texts: Sequence[str]) -> Iterator[Row]:
    """The article's plain script: one question and one sentence, in a fresh process."""
    name = "plain script, cold"
    for way, run in _ways():
        runs = _repeated(bench, run, question, texts[:1])
        wall = statistics.median(each.wall_seconds for each in runs)
        cpu = statistics.median(each.cpu_seconds for each in runs)
        yield bench.row(f"{name}: time that passes", wall, "s", way=way)
        yield bench.row(f"{name}: processor time", cpu, "s", SCRIPT_SECONDS, way)


def _asked_anew(bench: Bench, question: str) -> float:
    """The seconds that a question takes when no answer to it is stored."""
    seconds = []
    for _ in range(bench.repeats):
        bench.forget()
        seconds += bench.ask([question])
    return statistics.median(seconds)


def _reading(bench: Bench, question: str, texts: Sequence[str], asked: float) -> Iterator[Row]:
    """The reader alone, over the sentences of a question; the old way reads them one by one."""
    for way, run in _ways():
        # The first text warms the reader up, and is read again.
        runs = _repeated(bench, run, question, [texts[0], *texts])
        seconds = statistics.median(each.warm_seconds for each in runs)
        name = f"the reader alone, {len(texts)} sentences, warm"
        yield bench.row(name, seconds * 1000, "ms", way=way)
    yield bench.row("/qasearch, first time, over the reader alone", asked / seconds, "times")


async def _texts(bench: Bench, question: str) -> dict[str, str]:
    """The passages that are read for a question, by the name of their best candidate."""
    async with Servers(f"valkey://{LOOPBACK}:{bench.port}") as servers:
        found = await find(servers, normalise_question(question))
        texts = {}
        count = candidates_read(Effort.NORMAL, found.passage_ms)
        for passage in cut_passages(found.ranked[:count]):
            name = next(iter(passage.candidates.values())).sentence
            numbers = range(passage.first, passage.last + 1)
            fields = await servers.execute("HMGET", document_of_sentence(name).sentences, *numbers)
            texts[name] = " ".join(decode(field) for field in fields if field is not None)
    return texts


def _gets(bench: Bench, questions: Sequence[str], sentences: Sequence[str]) -> Iterator[Row]:
    """Ten GETs by fifty clients, all about the sentence in the middle.

    They get one key that is not stored, then the same key stored, then ten keys. At last, clients
    that sleep until they are answered ask ten questions.
    """
    name = sentences[len(sentences) // 2]
    key = bertqa_key(name, QUESTION)
    tool = "redis-benchmark" if shutil.which("redis-benchmark") else "our client"

    def one_key(round_: int) -> float:
        bench.forget()
        return _requests_per_second(bench.port, key)

    def stored(round_: int) -> float:
        return _requests_per_second(bench.port, key)

    def ten_keys(round_: int) -> float:
        bench.forget()
        return _requests_per_second(bench.port, bertqa_key(name, f"{QUESTION} __rand_int__"))

    def ten_questions(round_: int) -> float:
        bench.forget()
        asked = questions[round_ : round_ + REQUESTS]
        return _our_requests_per_second(bench.port, [bertqa_key(name, each) for each in asked])

    for who, what, measure, article in (
        (tool, "one key, not stored", one_key, GETS_PER_SECOND),
        (tool, "one key, stored", stored, None),
        (tool, "ten keys, not stored", ten_keys, None),
        ("our client", "ten questions, not stored", ten_questions, None),
    ):
        rate = statistics.median(measure(round_) for round_ in range(bench.repeats))
        row = f"{who} -n {REQUESTS} -c {CLIENTS}, {what}"
        yield bench.row(row, rate, "GET/s", article)


def _requests_per_second(port: int, key: str) -> float:
    if shutil.which("redis-benchmark") is None:
        numbers = (f"{number:012}" for number in range(REQUESTS))
        keys = [key.replace("__rand_int__", number) for number in numbers]
        return _our_requests_per_second(port, keys)
    command = ["redis-benchmark", "-p", str(port), "-n", str(REQUESTS), "-c", str(CLIENTS)]
    done = subprocess.run(
        ["/bin/sh", "-c", BEHIND_OTHERS, *command, "-r", "1000000000", "--csv", "GET", key],
        start_new_session=True,
        check=True,
        capture_output=True,
        text=True,
    )
    # The tool counts whole milliseconds, and reports "inf" for less than one.
    return min(float(list(csv.reader(done.stdout.splitlines()))[-1][1]), 1000.0 * REQUESTS)


def _our_requests_per_second(port: int, keys: Sequence[str]) -> float:
    """The same with clients that need no processor while they wait; each asks for one key."""
    clients = [valkey.Valkey(LOOPBACK, port) for _ in range(CLIENTS)]
    for client in clients:
        client.ping()
    with ThreadPoolExecutor(len(keys)) as pool:
        started = time.perf_counter()
        list(pool.map(lambda pair: pair[0].get(pair[1]), zip(clients, keys, strict=False)))
        seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return len(keys) / seconds


def _told(bench: Bench, questions: Sequence[str]) -> Iterator[Row]:
    """The model's own counts since a reset, like those of RedisAI's AI.INFO."""
    name = model_name(bench.folder)
    with valkey.Valkey(LOOPBACK, bench.port) as client:
        time.sleep(COUNTED_SECONDS)
        client.unlink(statistics_key(name))
        bench.ask(questions)
        time.sleep(COUNTED_SECONDS)
        told = json.loads(client.get(modelinfo_key(name)))
    for count in ("calls", "samples", "errors"):
        yield bench.row(f"model info: {count}", told[count], count)
    mean = told["duration_us"] / max(1, told["samples"]) / 1000
    yield bench.row("model info: duration of a sample", mean, "ms")
