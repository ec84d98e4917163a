"""Reads the best candidates of a question beside their shards: GETs the answer of each sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from keymiss.asking.computed_get import compute
from keymiss.errors import NotFound
from keymiss.keys import DocumentKeys, document_of_sentence, qa_key
from keymiss.server.servers import Servers
from keymiss.values.qa_value import Found, found_from_json

SENTENCES_READ = 10
"""How many sentences are read for a question."""

SENTENCES_READ_UNSETTLED = 2 * SENTENCES_READ
"""How many are read while documents move between shards. The order is a little off then, but the
usual best ten are among them."""

SENTENCE_SECONDS = 6.0
"""How long the answer waits for one sentence; after that it is made from the others."""


@dataclass(frozen=True, slots=True)
class SentencesRead:
    """What the reader found in each sentence, with the keys of the sentence's document.

    `complete` is false when a sentence that is there could not be read.
    """

    found: tuple[tuple[DocumentKeys, Found], ...]
    complete: bool


async def read_candidates(
    servers: Servers, question: str, sentences: Sequence[str]
) -> SentencesRead:
    """What the reader finds in each of these sentences, which are named `DOC:{TAG}:N`.

    Raises:
        KeymissError, ValkeyError, OSError: no sentence could be read; this is the first one's
            error.
    """
    # Each GET has a separate connection: one that waits would hold up those that follow it, and the
    # worker should see all of them in one batch.
    reading = (_in_time(servers, qa_key(sentence, question)) for sentence in sentences)
    values = await asyncio.gather(*reading, return_exceptions=True)
    errors = [value for value in values if isinstance(value, BaseException)]
    if errors and len(errors) == len(values):
        raise errors[0]
    found = tuple(
        (document_of_sentence(sentence), found_from_json(value))
        for sentence, value in zip(sentences, values, strict=True)
        if isinstance(value, bytes)
    )
    return SentencesRead(found, all(isinstance(error, NotFound) for error in errors))


async def _in_time(servers: Servers, key: str) -> bytes | None:
    async with asyncio.timeout(SENTENCE_SECONDS):
        return await compute(servers, key)
