"""The functions `qa` and `bertqa`: the reader beside the data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keymiss.answers.found import Found
from keymiss.answers.tokens import HASH, unpack
from keymiss.answers.window import Window, make_window, window_numbers
from keymiss.errors import KeymissError, NotFound
from keymiss.functions import Event, Function, Shard, on_miss
from keymiss.functions.function import Result
from keymiss.reader import Passage, Reader, Tokens
from keymiss.search.question import check_question
from keymiss.server.keys import BERTQA, QA, AnswerKey, decode, encode, parse_answer_key
from keymiss.server.transactions import Command

CACHE = "1h"
NOTED_SECONDS = 3600 + 300
"""A note is made before the answer is computed, and must outlive it."""

MOST_NOTED = 2048
"""Computed answers of one document. Who asks more within an hour has the oldest computed anew; no
stranger's questions fill the memory with notes, or make the drop behind a rewrite a long one."""

BATCH = 64


@dataclass(frozen=True, slots=True)
class _Text:
    """What is read for a key: its window's text, with tokens where they have been made."""

    window: Window
    passage: str | Passage


@dataclass(frozen=True, slots=True)
class _Asked:
    """One event of a batch that can be read."""

    index: int
    key: AnswerKey
    text: _Text


def answer_functions(reader: Reader) -> list[Function]:
    """The functions that answer `qa{..}` and `bertqa{..}` keys with this reader."""

    @on_miss(QA, name="qa", cache=CACHE, lease="30s", batch=BATCH, version=reader.version)
    async def qa(events: Sequence[Event]) -> list[Result]:
        found = await _read(reader, events)
        return [one.to_json() if isinstance(one, Found) else one for one in found]

    @on_miss(BERTQA, name="bertqa", cache=CACHE, lease="30s", batch=BATCH, version=reader.version)
    async def bertqa(events: Sequence[Event]) -> list[Result]:
        found = await _read(reader, events)
        return [_answer(one) if isinstance(one, Found) else one for one in found]

    return [qa, bertqa]


def _answer(found: Found) -> str:
    return found.text if found.is_answer else ""


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
        named = [(events[i].key, key) for i, key in of_shard]
        texts = await _texts(shard, named, reader.tokens)
        for (index, key), text in zip(of_shard, texts, strict=True):
            if isinstance(text, _Text):
                asked.append(_Asked(index, key, text))
            else:
                results[index] = text
    pairs = [(one.key.question, one.text.passage) for one in asked]
    answers = await asyncio.to_thread(reader.read_batch, pairs)
    for one, best in zip(asked, answers, strict=True):
        if not best:
            results[one.index] = Found("", 0, 0, one.key.sentence, 0.0, 0.0, 0.0, reader.name)
            continue
        window = one.text.window
        sentence, start, end = window.locate(best[0].start, best[0].end)
        answer = window.sentences[sentence - window.first][start:end]
        probability = reader.calibration.probability(best[0].margin)
        scores = (round(best[0].score, 4), round(best[0].null_score, 4), round(probability, 4))
        results[one.index] = Found(answer, start, end, sentence, *scores, reader.name)
    return results


async def _texts(
    shard: Shard, keys: Sequence[tuple[str, AnswerKey]], tokens: Tokens
) -> list[_Text | KeymissError]:
    """The text to read for each key, which is noted with its document before the text is read.

    Sentences that do not exist are found out first: a stranger's keys leave no note behind.
    """
    probe = shard.client.pipeline(transaction=False)
    for _, key in keys:
        probe.hexists(key.keys.sentences, str(key.sentence))
    exists = await probe.execute(raise_on_error=False) if keys else []
    there = [named for named, reply in zip(keys, exists, strict=True) if reply == 1]
    now = int(time.time())
    read = iter(await shard.transactions([_reading(name, key, tokens, now) for name, key in there]))
    replies = [next(read) if reply == 1 else reply for reply in exists]
    texts = [_text(key, reply, tokens) for (_, key), reply in zip(keys, replies, strict=True)]
    # Forgotten between the two looks: the note would belong to no document.
    gone = [
        named
        for named, reply, text in zip(keys, exists, texts, strict=True)
        if reply == 1 and isinstance(text, NotFound)
    ]
    full = {key.keys.answers for (_, key), reply in zip(keys, replies, strict=True) if _full(reply)}
    after = [_unnoting(name, key) for name, key in gone] + [_dropping(each) for each in full]
    await shard.transactions([[command] for command in after])
    return texts


_UNNOTE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[2]) end
"""
"""A script: the document may come back meanwhile, and with it an answer that needs the note."""


def _unnoting(name: str, key: AnswerKey) -> Command:
    keys = (key.keys.sentences, key.keys.answers)
    return ("EVAL", _UNNOTE, 2, *keys, key.sentence, encode(name))


_DROP_OLDEST = """
local last = redis.call('ZCARD', KEYS[1]) - ARGV[1] - 1
if last < 0 then return end
for _, noted in ipairs(redis.call('ZRANGE', KEYS[1], 0, last)) do
  redis.call('KEYMISS.DROP', noted)
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, last)
"""


def _full(read: object) -> bool:
    return isinstance(read, list) and isinstance(read[3], int) and read[3] > MOST_NOTED


def _dropping(noted: str) -> Command:
    return ("EVAL", _DROP_OLDEST, 1, noted, MOST_NOTED)


def _reading(name: str, key: AnswerKey, tokens: Tokens, now: int) -> list[Command]:
    """One transaction: the note comes before the text, and the tokens are of that text."""
    noted, numbers = key.keys.answers, window_numbers(key.sentence)
    return [
        ("ZADD", noted, now + NOTED_SECONDS, encode(name)),
        ("ZREMRANGEBYSCORE", noted, "-inf", now),
        ("EXPIRE", noted, NOTED_SECONDS),
        ("ZCARD", noted),
        ("HMGET", key.keys.sentences, *numbers),
        ("HGET", key.keys.article, HASH),
        ("HMGET", encode(key.keys.tokens(tokens.fingerprint)), HASH, *numbers),
    ]


def _text(key: AnswerKey, read: object, tokens: Tokens) -> _Text | KeymissError:
    """What to read, from the replies to `_reading`, or what the probe replied in their place."""
    replies: list[Any] = read if isinstance(read, list) else [read]
    for reply in replies:
        if isinstance(reply, Exception):
            return KeymissError(f"the text of {key.keys.document!r} cannot be read: {reply}")
    if len(replies) == 1:
        return _no_sentence(key)
    texts, content_hash, (of_tokens, *packed) = replies[4:]
    window = make_window(key.sentence, [None if text is None else decode(text) for text in texts])
    if window is None:
        return _no_sentence(key)
    if not tokens.concatenates:
        return _Text(window, window.text)
    stored = dict(zip(window_numbers(key.sentence), packed, strict=True))
    wanted = [stored[window.first + index] for index in range(len(window.sentences))]
    if content_hash is None or of_tokens != content_hash or None in wanted:
        return _Text(window, window.text)
    ids = np.concatenate([unpack(value, tokens.vocabulary) for value in wanted])
    return _Text(window, Passage(window.text, ids))


def _no_sentence(key: AnswerKey) -> NotFound:
    return NotFound(f"document {key.keys.document!r} has no sentence {key.sentence}")
