"""Reads a question's passages beside their shards: GETs what the reader finds in each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from keymiss.asking.computed_get import compute
from keymiss.asking.passages import CandidatePassage
from keymiss.errors import NotFound
from keymiss.keys import passage_key
from keymiss.server.servers import Servers
from keymiss.values.passage_value import PassageSpan, passage_from_json

PASSAGE_SECONDS = 6.0
"""How long the answer waits for one passage; after that it is made from the others."""


@dataclass(frozen=True, slots=True)
class PassagesRead:
    """What the reader found in each passage.

    `complete` is false when a passage that is there could not be read.
    """

    found: tuple[tuple[CandidatePassage, list[PassageSpan]], ...]
    complete: bool


async def read_passages(
    servers: Servers, question: str, passages: Sequence[CandidatePassage]
) -> PassagesRead:
    """What the reader finds in each of these passages.

    Raises:
        KeymissError, ValkeyError, OSError: no passage could be read; this is the first one's error.
    """
    # Each GET has a separate connection: one that waits would hold up those that follow it, and the
    # worker should see all of them in one batch.
    reading = (_in_time(servers, _key(passage, question)) for passage in passages)
    values = await asyncio.gather(*reading, return_exceptions=True)
    errors = [value for value in values if isinstance(value, BaseException)]
    if errors and len(errors) == len(values):
        raise errors[0]
    found = tuple(
        (passage, passage_from_json(value))
        for passage, value in zip(passages, values, strict=True)
        if isinstance(value, bytes)
    )
    return PassagesRead(found, all(isinstance(error, NotFound) for error in errors))


def _key(passage: CandidatePassage, question: str) -> str:
    return passage_key(f"{passage.document}{passage.first}", passage.last, question)


async def _in_time(servers: Servers, key: str) -> bytes | None:
    async with asyncio.timeout(PASSAGE_SECONDS):
        return await compute(servers, key)
