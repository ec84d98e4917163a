"""The functions `qa` and `bertqa`: the reader beside the data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from keymiss.answers.found import Found
from keymiss.answers.window import Window, make_window, window_numbers
from keymiss.errors import KeymissError, NotFound
from keymiss.functions import Event, Function, Shard, on_miss
from keymiss.functions.function import Result
from keymiss.reader import Reader
from keymiss.search.question import check_question
from keymiss.server.keys import BERTQA, QA, AnswerKey, decode, parse_answer_key

CACHE = "1h"
CACHE_SECONDS = 3600
BATCH = 64


@dataclass(frozen=True, slots=True)
class _Asked:
    """One event of a batch that can be read."""

    index: int
    key: AnswerKey
    window: Window


def answer_functions(reader: Reader) -> list[Function]:
    """The functions that answer `qa{..}` and `bertqa{..}` keys with this reader."""

    @on_miss(QA, name="qa", cache=CACHE, lease="30s", batch=BATCH, version=reader.version)
    async def qa(events: Sequence[Event]) -> list[Result]:
        found = await _read(reader, events)
        return [one.to_json() if isinstance(one, Found) else one for one in found]

    @on_miss(BERTQA, name="bertqa", cache=CACHE, lease="30s", batch=BATCH, version=reader.version)
    async def bertqa(events: Sequence[Event]) -> list[Result]:
        found = await _read(reader, events)
        return [_text(one) if isinstance(one, Found) else one for one in found]

    return [qa, bertqa]


def _text(found: Found) -> str:
    return found.text if found.margin > 0 else ""


async def _read(reader: Reader, events: Sequence[Event]) -> list[Found | Exception]:
    results: list[Found | Exception] = [NotFound("")] * len(events)
    keys: list[tuple[int, AnswerKey]] = []
    for index, event in enumerate(events):
        try:
            key = parse_answer_key(event.key)
            check_question(key.question)
            keys.append((index, key))
        except KeymissError as error:
            results[index] = error
    asked: list[_Asked] = []
    for shard in {event.shard for event in events}:
        of_shard = [(index, key) for index, key in keys if events[index].shard == shard]
        windows = await _windows(shard, [(events[i].key, key) for i, key in of_shard])
        for (index, key), window in zip(of_shard, windows, strict=True):
            if isinstance(window, Window):
                asked.append(_Asked(index, key, window))
            else:
                results[index] = window
    pairs = [(one.key.question, one.window.text) for one in asked]
    answers = await asyncio.to_thread(reader.read_batch, pairs)
    for one, best in zip(asked, answers, strict=True):
        if not best:
            results[one.index] = Found("", 0, 0, one.key.sentence, 0.0, 0.0, reader.name)
            continue
        sentence, start, end = one.window.locate(best[0].start, best[0].end)
        text = one.window.sentences[sentence - one.window.first][start:end]
        scores = (round(best[0].score, 4), round(best[0].null_score, 4))
        results[one.index] = Found(text, start, end, sentence, *scores, reader.name)
    return results


async def _windows(
    shard: Shard, keys: Sequence[tuple[str, AnswerKey]]
) -> list[Window | KeymissError]:
    """The text to read for each key, which is noted with its document before the text is read.

    Sentences that do not exist are found out first: a stranger's keys leave no note behind.
    """
    probe = shard.client.pipeline(transaction=False)
    for _, key in keys:
        probe.hexists(key.keys.sentences, str(key.sentence))
    exists = await probe.execute(raise_on_error=False)
    reading = shard.client.pipeline(transaction=False)
    now = int(time.time())
    for (name, key), there in zip(keys, exists, strict=True):
        if there != 1:
            continue
        noted = key.keys.answers
        reading.zadd(noted, {name.encode("utf-8", "surrogateescape"): now + CACHE_SECONDS})
        reading.zremrangebyscore(noted, "-inf", now)
        reading.expire(noted, CACHE_SECONDS)
        reading.hmget(key.keys.sentences, [str(n) for n in window_numbers(key.sentence)])
    replies = iter(await reading.execute(raise_on_error=False))
    return [
        _window(key, [next(replies) for _ in range(4)] if there == 1 else [there])
        for (_, key), there in zip(keys, exists, strict=True)
    ]


def _window(key: AnswerKey, replies: list[object]) -> Window | KeymissError:
    for reply in replies:
        if isinstance(reply, Exception):
            return KeymissError(f"the text of {key.keys.document!r} cannot be read: {reply}")
    texts = replies[-1]
    window = None
    if isinstance(texts, list):
        decoded = [None if text is None else decode(text) for text in texts]
        window = make_window(key.sentence, decoded)
    if window is None:
        return NotFound(f"document {key.keys.document!r} has no sentence {key.sentence}")
    return window
