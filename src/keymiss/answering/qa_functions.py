"""The functions `qa`, `bertqa` and `passage`: the reader beside the data."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from valkey.exceptions import ValkeyError

from keymiss.answering.answer_notes import Notes
from keymiss.answering.metrics import TEXT_SECONDS
from keymiss.answering.model_statistics import ModelStatistics
from keymiss.answering.sentence_texts import Text, read_texts
from keymiss.errors import BadInput, KeymissError, NotFound, Unavailable
from keymiss.function_names import FunctionName
from keymiss.functions import Event, Function, Shard, on_miss
from keymiss.functions.function import Result
from keymiss.keys import (
    BERTQA,
    BERTQA_FORM,
    PASSAGE,
    PASSAGE_FORM,
    QA,
    QA_FORM,
    AnswerKey,
    has_known_form,
    parse_answer_key,
)
from keymiss.reader import Answer, Reader
from keymiss.search.question import check_question
from keymiss.values.passage_value import PassageSpan, passage_to_json
from keymiss.values.qa_value import Found

CACHE = "1h"
MOST_READ_AT_ONCE = 64

SPANS = 5
"""How many spans of a passage are given."""

MOST_SENTENCES = 16
"""How many sentences a passage has, at most."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A key that can be answered, and the text that is read for it."""

    shard: Shard
    key: AnswerKey
    text: Text


def answer_functions(reader: Reader, statistics: ModelStatistics) -> list[Function]:
    """The functions that answer `keymiss:qa{..}`, `bertqa{..}` and `keymiss:passage{..}` keys with
    this reader, and keep its statistics."""
    notes = Notes()
    computing = partial(
        on_miss,
        cache=CACHE,
        lease="30s",
        batch=MOST_READ_AT_ONCE,
        version=reader.version,
        stores=has_known_form,
    )

    @computing(QA, name=FunctionName.QA, form=QA_FORM)
    async def qa(events: Sequence[Event]) -> list[Result]:
        read = await _read(reader, statistics, notes, events)
        return [
            one if isinstance(one, Exception) else _found(reader, *one).to_json() for one in read
        ]

    @computing(BERTQA, name=FunctionName.BERTQA, form=BERTQA_FORM)
    async def bertqa(events: Sequence[Event]) -> list[Result]:
        read = await _read(reader, statistics, notes, events)
        return [
            one if isinstance(one, Exception) else _answer(_found(reader, *one)) for one in read
        ]

    @computing(PASSAGE, name=FunctionName.PASSAGE, form=PASSAGE_FORM)
    async def passage(events: Sequence[Event]) -> list[Result]:
        read = await _read(reader, statistics, notes, events, SPANS)
        return [one if isinstance(one, Exception) else _passage(reader, *one) for one in read]

    return [qa, bertqa, passage]


def _answer(found: Found) -> str:
    return found.text if found.is_answer else ""


async def _read(
    reader: Reader,
    statistics: ModelStatistics,
    notes: Notes,
    events: Sequence[Event],
    spans: int = 1,
) -> list[tuple[_Asked, list[Answer]] | Exception]:
    """What was read for each event with its best spans, or an error."""
    with TEXT_SECONDS.time():
        asked = await _all_asked(reader, notes, events)
    readable = [one for one in asked if isinstance(one, _Asked)]
    answers = iter(await _answers(reader, statistics, readable, spans))
    return [(one, next(answers)) if isinstance(one, _Asked) else one for one in asked]


async def _all_asked(
    reader: Reader, notes: Notes, events: Sequence[Event]
) -> list[_Asked | Exception]:
    """What is to be read for each event, or an error. All shards are asked for texts at once."""
    asked: list[_Asked | Exception] = [NotFound("")] * len(events)
    of_shards: dict[Shard, list[tuple[int, AnswerKey]]] = {}
    for number, event in enumerate(events):
        try:
            key = parse_answer_key(event.key)
            check_question(key.question)
            _check_passage(key)
            of_shards.setdefault(event.shard, []).append((number, key))
        except KeymissError as error:
            asked[number] = error

    async def read_shard(shard: Shard, keys: Sequence[tuple[int, AnswerKey]]) -> None:
        notes.sweep_when_due(shard)
        named = [(events[number].key, key) for number, key in keys]
        try:
            texts = await read_texts(shard, named, reader.tokenizer, notes)
        except (TimeoutError, ValkeyError, OSError) as error:
            texts = [Unavailable(f"the text cannot be read: {error}")] * len(keys)
        for (number, key), text in zip(keys, texts, strict=True):
            asked[number] = _Asked(shard, key, text) if isinstance(text, Text) else text

    await asyncio.gather(*(read_shard(*each) for each in of_shards.items()))
    return asked


async def _answers(
    reader: Reader, statistics: ModelStatistics, asked: Sequence[_Asked], spans: int
) -> list[list[Answer]]:
    """The best answers to each key; none where there is no token to read."""
    pairs = [(one.key.question, one.text.passage) for one in asked]
    started = time.perf_counter()
    failed = True
    try:
        answers = await asyncio.to_thread(reader.read_batch, pairs, spans)
        failed = False
    finally:
        samples = Counter(one.shard.name for one in asked)
        statistics.add(samples, time.perf_counter() - started, failed)
    return answers


def _check_passage(key: AnswerKey) -> None:
    last = key.sentence if key.last is None else key.last
    if not key.sentence <= last < key.sentence + MOST_SENTENCES:
        raise BadInput(
            f"a passage has 1 to {MOST_SENTENCES} sentences, the first one's number first"
        )


def _found(reader: Reader, asked: _Asked, answers: Sequence[Answer]) -> Found:
    """The best answer, with its place in the sentence of the window that holds it."""
    if not answers:
        return Found("", 0, 0, asked.key.sentence, 0.0, 0.0, 0.0, False, reader.name)
    best = answers[0]
    span = _span(reader, asked, best)
    probability = reader.calibration.probability(best.margin)
    scores = (round(best.score, 4), round(best.null_score, 4), round(probability, 4))
    likely = probability >= reader.calibration.least
    return Found(span.text, span.start, span.end, span.sentence, *scores, likely, reader.name)


def _passage(reader: Reader, asked: _Asked, answers: Sequence[Answer]) -> str:
    spans = [_span(reader, asked, answer) for answer in answers]
    return passage_to_json([span for span in spans if span.text])


def _span(reader: Reader, asked: _Asked, answer: Answer) -> PassageSpan:
    """An answer in the sentence of the window that holds it."""
    window = asked.text.window
    sentence, start, end = window.locate(answer.start, answer.end)
    text = window.sentences[sentence - window.first][start:end]
    log_odds = round(reader.calibration.log_odds(answer.margin), 4)
    return PassageSpan(text, start, end, sentence, round(answer.margin, 4), log_odds)
