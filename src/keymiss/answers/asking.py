"""Asks a question: candidates from the shard, the best ones read beside it, answers ranked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from valkey.asyncio import Valkey
from valkey.exceptions import ResponseError, ValkeyError
from valkey.exceptions import TimeoutError as ValkeyTimeout

from keymiss.answers.found import Found, found_from_json
from keymiss.errors import BadInput, KeymissError, NotFound, TooSlow, Unavailable, from_resp
from keymiss.search.functions import candidates_from_json
from keymiss.search.question import normalise_question
from keymiss.search.ranking import Ranked, rank
from keymiss.server.keys import (
    CORPUS,
    DocumentKeys,
    bucket_tag,
    decode,
    encode,
    find_key,
    parse_document_key,
    qa_key,
)

READ = 10
"""Sentences that are read for a question."""

ANSWERS = 5
"""Answers that a question gets, at most."""

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and the place that it comes from.

    `sentence_text[start:end] == text`; `sentence` is the name `DOC:{TAG}:N`. `score` is the
    reader's margin in logits: how much more likely the span is than that there is no answer.
    `probability` is how often an answer of that score is right.
    """

    text: str
    start: int
    end: int
    score: float
    probability: float
    sentence: str
    sentence_text: str
    title: str


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers, best first. `complete` is false when part of the corpus did not answer."""

    answers: tuple[Answer, ...]
    complete: bool


async def ask(client: Valkey, text: str) -> Answers:
    """Answers a question from the corpus.

    Raises:
        BadInput: the text is no question.
        Unavailable: no server, no worker, or no corpus.
        TooSlow: there was no answer in time.
    """
    question = normalise_question(text)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            ranked = await find(client, question)
            return await _read(client, question, ranked[:READ])
    except (TimeoutError, ValkeyTimeout):
        raise TooSlow(f"no answer within {DEADLINE_SECONDS:.0f} s") from None
    except (ValkeyError, OSError) as error:
        raise Unavailable(f"the server cannot be reached: {error}") from error


async def find(client: Valkey, question: str) -> list[Ranked]:
    """All candidates for a normalised question, best first."""
    # Any tag of the shard would do: it only routes the key.
    tag = bucket_tag(0, 1)
    value = await compute(client, find_key(tag, question))
    if value is None:
        raise Unavailable("nothing searches this server; start `keymiss worker`")
    candidates = candidates_from_json(value)
    if not candidates.sentences and not await client.exists(CORPUS):
        raise Unavailable("there is no corpus yet; create it with `keymiss ingest PATH`")
    return rank([candidates])


async def compute(client: Valkey, key: str) -> bytes | None:
    """GETs a key that may have to be computed.

    Raises:
        KeymissError: the class that fits what the server says.
    """
    try:
        value: bytes | None = await client.get(encode(key))
    except ResponseError as error:
        raise explain(str(error)) from None
    return value


_ERRORS: dict[str, type[KeymissError]] = {
    "unavailable": Unavailable,
    "busy": Unavailable,
    "replica": Unavailable,
    "forgotten": Unavailable,
    "timeout": TooSlow,
    "refused": BadInput,
}


def explain(message: str) -> KeymissError:
    """The error class for `KEYMISS <code> <words>`, an error reply of the module's."""
    word, _, rest = message.partition(" ")
    code, _, words = rest.partition(" ")
    if word != "KEYMISS":
        return Unavailable(f"the server refuses: {message}")
    if code == "failed" and (error := from_resp(words)):
        return error
    return _ERRORS.get(code, KeymissError)(f"{code}: {words}")


async def _read(client: Valkey, question: str, ranked: Sequence[Ranked]) -> Answers:
    keys = [qa_key(one.sentence, question) for one in ranked]
    # Each on a connection of its own: a waiting GET would hold up those behind it, and the worker
    # should see all of them in one batch.
    values = await asyncio.gather(*(compute(client, key) for key in keys), return_exceptions=True)
    errors = [value for value in values if isinstance(value, BaseException)]
    if errors and len(errors) == len(values):
        raise errors[0]
    found = [
        (_document_of(one.sentence), found_from_json(value))
        for one, value in zip(ranked, values, strict=True)
        if isinstance(value, bytes)
    ]
    best = _best(found)
    missing = [error for error in errors if not isinstance(error, NotFound)]
    return Answers(tuple(await _with_texts(client, best)), complete=not missing)


async def first_margin(client: Valkey, text: str) -> Found | None:
    """The span that the reader prefers for a question, believed or not; None without candidates.

    Raises what `ask` raises.
    """
    question = normalise_question(text)
    ranked = await find(client, question)
    keys = [qa_key(one.sentence, question) for one in ranked[:READ]]
    values = await asyncio.gather(*(compute(client, key) for key in keys))
    found = [found_from_json(value) for value in values if value is not None]
    return max(found, key=lambda one: one.margin, default=None)


def _document_of(sentence: str) -> DocumentKeys:
    keys = parse_document_key(f"sentence:{sentence.rpartition(':')[0]}")
    if keys is None:
        raise KeymissError(f"the index names no sentence: {sentence!r}")
    return keys


def _best(found: Sequence[tuple[DocumentKeys, Found]]) -> list[tuple[DocumentKeys, Found]]:
    """The likely answers, best first, each text once."""
    kept: dict[str, tuple[DocumentKeys, Found]] = {}
    for keys, one in sorted(found, key=lambda pair: (-pair[1].margin, pair[0].document)):
        if one.is_answer:
            kept.setdefault(" ".join(one.text.casefold().split()), (keys, one))
    return list(kept.values())[:ANSWERS]


async def _with_texts(client: Valkey, best: Sequence[tuple[DocumentKeys, Found]]) -> list[Answer]:
    pipeline = client.pipeline(transaction=False)
    for keys, found in best:
        pipeline.hget(keys.sentences, str(found.sentence))
        pipeline.hget(keys.article, "title")
    replies = await pipeline.execute() if best else []
    answers = []
    for (keys, found), text, title in zip(best, replies[::2], replies[1::2], strict=True):
        # Rewritten in the meantime: the place does not exist any more.
        if text is None or decode(text)[found.start : found.end] != found.text:
            continue
        answers.append(
            Answer(
                text=found.text,
                start=found.start,
                end=found.end,
                score=round(found.margin, 4),
                probability=found.probability,
                sentence=keys.sentence(found.sentence),
                sentence_text=decode(text),
                title=decode(title or b""),
            )
        )
    return answers
