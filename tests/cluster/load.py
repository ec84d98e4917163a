"""Clients that ask all the time, and what they have seen."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from valkey.cluster import ValkeyCluster
from valkey.exceptions import ValkeyError

from keymiss.corpus.demo import load_questions

QUESTIONS = [question.text for question in load_questions()[::3]]
DEADLINE_SECONDS = 12
"""What a question takes at most, and a little for a loaded machine."""

HTTP = httpx.Client(verify=False, timeout=DEADLINE_SECONDS)
"""One for all: to make another takes longer than most questions."""


@dataclass(frozen=True)
class Asked:
    """One question and its reply."""

    question: str
    started: float
    ended: float
    status: int
    complete: bool
    results: list[dict[str, Any]]


@dataclass
class Seen:
    asked: list[Asked] = field(default_factory=list)
    got: list[tuple[str, bytes | None]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def ask(http: str, question: str) -> Asked:
    started = time.monotonic()
    reply = HTTP.post(f"{http}/qasearch", json={"search": question})
    body = reply.json()
    return Asked(
        question,
        started,
        time.monotonic(),
        reply.status_code,
        body.get("complete", False),
        body.get("results", []),
    )


def expected_answers(http: str) -> dict[str, list[dict[str, Any]]]:
    expected = {}
    for question in QUESTIONS:
        asked = ask(http, question)
        assert asked.status == 200, asked
        assert asked.complete
        expected[question] = asked.results
    return expected


class Load:
    """Asks in three threads until the block ends: two over HTTP, one with a plain GET."""

    def __init__(
        self,
        http: str,
        url: str,
        expected: dict[str, list[dict[str, Any]]],
        values: dict[str, bytes],
    ) -> None:
        self._http = http
        self._url = url
        self._expected = expected
        self._values = values
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(0,)),
            threading.Thread(target=self._ask, args=(len(QUESTIONS) // 2,)),
            threading.Thread(target=self._get),
        ]
        self.seen = Seen()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, first: int) -> None:
        for question in itertools.cycle([*QUESTIONS[first:], *QUESTIONS[:first]]):
            if self._stop.is_set():
                return
            self.seen.asked.append(ask(self._http, question))

    def _get(self) -> None:
        client = ValkeyCluster.from_url(self._url)
        for key in itertools.cycle(self._values):
            if self._stop.is_set():
                break
            try:
                self.seen.got.append((key, client.get(key)))
            except (ValkeyError, OSError) as error:
                self.seen.refused.append(str(error))
                time.sleep(0.05)
        client.close()

    def wrong(self) -> list[Any]:
        """Replies that are not as they should be: complete ones without the first answer of quiet
        times, answers that do not stand in their sentence, GETs of another value or of none.

        Further answers may differ: while slots are on their way, two shards may count a document,
        and other candidates are as good as those that are read at other times.
        """
        wrong: list[Any] = [asked for asked in self.seen.asked if not self._is_right(asked)]
        wrong += [(key, value) for key, value in self.seen.got if value != self._values[key]]
        return wrong

    def _is_right(self, asked: Asked) -> bool:
        if asked.status != 200:
            return asked.status in (503, 504)
        expected = _places(self._expected[asked.question][:1])
        if asked.complete and not set(expected) <= set(_places(asked.results)):
            return False
        return all(
            each["sentence"][each["start"] : each["end"]] == each["answer"]
            for each in asked.results
        )

    def late(self) -> list[Asked]:
        """Replies that came behind the deadline."""
        return [each for each in self.seen.asked if each.ended - each.started > DEADLINE_SECONDS]

    def incomplete_seconds(self) -> float:
        """For how long, in all, some question was being answered incompletely."""
        spans = sorted((each.started, each.ended) for each in self.seen.asked if not each.complete)
        total, end = 0.0, 0.0
        for first, last in spans:
            total += max(0.0, last - max(first, end))
            end = max(end, last)
        return total


def _places(results: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["answer"], each["sentencekey"]) for each in results]


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} seconds"
        time.sleep(0.05)
