"""The functions `qa` and `bertqa`: the reader beside the data."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from valkey.exceptions import ValkeyError

from keymiss.answers.found import Found
from keymiss.answers.metrics import TEXT_SECONDS
from keymiss.answers.model_statistics import ModelStatistics
from keymiss.answers.notes import Notes
from keymiss.answers.texts import Text, read_texts
from keymiss.errors import KeymissError, NotFound, Unavailable
from keymiss.functions import Event, Function, Shard, on_miss
from keymiss.functions.function import Result
from keymiss.reader import Answer, Reader
from keymiss.search.question import check_question
from keymiss.server.keys import BERTQA, QA, AnswerKey, parse_answer_key

CACHE = "1h"
BATCH = 64


@dataclass(frozen=True, slots=True)
class _Asked:
    """One event of a batch that can be read."""

    index: int
    key: AnswerKey
    text: Text


def answer_functions(reader: Reader, statistics: ModelStatistics) -> list[Function]:
    """The functions that answer `qa{..}` and `bertqa{..}` keys with this reader, whose statistics
    they keep."""
    notes = Notes()

    @on_miss(QA, name="qa", cache=CACHE, lease="30s", batch=BATCH, version=reader.version)
    async def qa(events: Sequence[Event]) -> list[Result]:
        found = await _read(reader, statistics, notes, events)
        return [one.to_json() if isinstance(one, Found) else one for one in found]

    @on_miss(BERTQA, name="bertqa", cache=CACHE, lease="30s", batch=BATCH, version=reader.version)
    async def bertqa(events: Sequence[Event]) -> list[Result]:
        found = await _read(reader, statistics, notes, events)
        return [_answer(one) if isinstance(one, Found) else one for one in found]

    return [qa, bertqa]


def _answer(found: Found) -> str:
    return found.text if found.is_answer else ""


async def _read(
    reader: Reader, statistics: ModelStatistics, notes: Notes, events: Sequence[Event]
) -> list[Found | Exception]:
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

    async def read_shard(shard: Shard) -> None:
        notes.sweep_when_due(shard)
        of_shard = [(index, key) for index, key in keys if events[index].shard is shard]
        named = [(events[i].key, key) for i, key in of_shard]
        try:
            texts = await read_texts(shard, named, reader.tokens, notes)
        except (TimeoutError, ValkeyError, OSError) as error:
            texts = [Unavailable(f"the text cannot be read: {error}")] * len(named)
        for (index, key), text in zip(of_shard, texts, strict=True):
            if isinstance(text, Text):
                asked.append(_Asked(index, key, text))
            else:
                results[index] = text

    with TEXT_SECONDS.time():
        await asyncio.gather(*(read_shard(shard) for shard in {event.shard for event in events}))
    samples = Counter(events[one.index].shard.name for one in asked)
    answers = await _answers(reader, statistics, samples, asked)
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


async def _answers(
    reader: Reader, statistics: ModelStatistics, samples: Counter[str], asked: Sequence[_Asked]
) -> list[list[Answer]]:
    """The best answer for each, none where there is no token to read."""
    pairs = [(one.key.question, one.text.passage) for one in asked]
    started = time.perf_counter()
    failed = True
    try:
        answers = await asyncio.to_thread(reader.read_batch, pairs)
        failed = False
    finally:
        statistics.add(samples, time.perf_counter() - started, failed)
    return answers
