"""Measures open-loop load: questions come at random (Poisson), however slow the answers are.

A client that waits for each answer before it asks again would slow down with the system and hide
its worst times ("coordinated omission", Tene 2013).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import valkey

from keymiss.bench.bench_processes import COUNTED_SECONDS
from keymiss.corpus.demo import load_questions
from keymiss.errors import missing_extra
from keymiss.keys import modelinfo_key
from keymiss.local_stack import demo_cluster, running_stack
from keymiss.reader import BUNDLED_MODEL
from keymiss.server.client import Client, connect, primaries_of
from keymiss.server.embedded_server import LOOPBACK, free_port

LOAD_QUESTIONS = 20
"""How many questions are asked, either again and again, or each time with another number added."""

FIRST_RATE, GROWTH = 2.0, 1.5
ANSWER_PATIENCE_SECONDS = 30.0
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Step:
    """What happened while questions came at a rate.

    `questions` is "distinct" or "repeating". `batch` is the mean number of texts in a call of the
    reader, and `hit_rate` is the share of function keys that were stored. Questions that failed
    count in `errors` alone.
    """

    shards: int
    questions: str
    rate: float
    answered_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    batch: float
    hit_rate: float
    errors: int


def measure_load(shards: int, seconds: float, limit_ms: float) -> Iterator[Step]:
    """Lets questions come faster and faster until p99 passes the limit: first distinct ones, then
    those that have been asked before.

    Args:
        shards: how many shards the system has; it is started with the demo articles.
        seconds: how long each rate lasts.

    Raises:
        SetupError: aiohttp is not installed.
    """
    texts = [question.text for question in load_questions()[:LOAD_QUESTIONS]]
    numbers = itertools.count()
    kinds: dict[str, Callable[[], str]] = {
        "distinct": lambda: f"{random.choice(texts)} ({next(numbers)})",
        "repeating": lambda: random.choice(texts),
    }
    with _system(shards) as (http_port, client):
        for text in texts:
            asyncio.run(_come([(0.0, text)], http_port))
        time.sleep(COUNTED_SECONDS)
        for kind, next_question in kinds.items():
            rate = FIRST_RATE
            while True:
                step = _step(shards, kind, rate, seconds, next_question, http_port, client)
                yield step
                if step.p99_ms > limit_ms or step.errors:
                    break
                rate *= GROWTH


@contextmanager
def _system(shards: int) -> Iterator[tuple[int, Client]]:
    http_port = free_port()
    if shards == 1:
        port = free_port()
        with (
            running_stack(None, port, http_port, BUNDLED_MODEL, demo=True),
            valkey.Valkey(LOOPBACK, port) as client,
        ):
            yield http_port, client
    else:
        with demo_cluster(shards, 0, http_port, BUNDLED_MODEL) as url, connect(url) as client:
            yield http_port, client


def _step(
    shards: int,
    kind: str,
    rate: float,
    seconds: float,
    next_question: Callable[[], str],
    http_port: int,
    client: Client,
) -> Step:
    arrivals: list[tuple[float, str]] = []
    at = 0.0
    # At least one question comes, even at a low rate.
    while (at := at + random.expovariate(rate)) < seconds or not arrivals:
        arrivals.append((at, next_question()))
    before = _counters(client)
    started = time.perf_counter()
    times = asyncio.run(_come(arrivals, http_port))
    took = time.perf_counter() - started
    time.sleep(COUNTED_SECONDS)
    rise = {name: value - before[name] for name, value in _counters(client).items()}
    answered = sorted(each for each in times if each is not None) or [float("inf")]
    p50, p95, p99 = (
        round(1000 * answered[min(len(answered) - 1, int(q * len(answered)))], 1) for q in QUANTILES
    )
    return Step(
        shards=shards,
        questions=kind,
        rate=round(rate, 2),
        answered_per_second=round(len(answered) / took, 2),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        batch=round(rise["samples"] / max(1, rise["calls"]), 1),
        hit_rate=round(rise["hits"] / max(1, rise["hits"] + rise["misses"]), 3),
        errors=sum(each is None for each in times),
    )


async def _come(arrivals: list[tuple[float, str]], http_port: int) -> list[float | None]:
    """Asks each question at its time; returns the seconds to each answer, None if there is none."""
    try:
        # httpx's own time for a request grows with the number that wait, and would be measured.
        from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
    except ImportError:
        raise missing_extra("aiohttp", "bench") from None
    address = f"http://{LOOPBACK}:{http_port}/qasearch"
    timeout = ClientTimeout(total=ANSWER_PATIENCE_SECONDS)
    async with ClientSession(connector=TCPConnector(limit=0), timeout=timeout) as http:
        started = time.perf_counter()

        async def ask(at: float, question: str) -> float | None:
            await asyncio.sleep(at - (time.perf_counter() - started))
            try:
                async with http.post(address, json={"search": question}) as reply:
                    await reply.read()
            except (ClientError, TimeoutError):
                return None
            # The time counts from when the question came, not from when it could be sent.
            return time.perf_counter() - started - at if reply.status == 200 else None

        return list(await asyncio.gather(*(ask(*each) for each in arrivals)))


def _counters(client: Client) -> dict[str, int]:
    counts = dict.fromkeys(("hits", "misses"), 0)
    for primary in primaries_of(client):
        info = primary.info("keymiss")
        for name in ("hits", "misses"):
            counts[name] += info[f"keymiss_{name}"]
    told = json.loads(client.get(modelinfo_key(BUNDLED_MODEL)))
    return counts | {name: told[name] for name in ("calls", "samples")}
