"""A question's concepts and edges, and an edge's sentences, from all shards together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from valkey.exceptions import ValkeyError

from keymiss.asking.computed_get import compute
from keymiss.asking.shown_text import Shown, read_shown
from keymiss.errors import BadInput, KeymissError, NoGraph, NotFound, TooSlow, Unavailable
from keymiss.graph.neighbourhood import Neighbourhood, read_record, read_years
from keymiss.graph.postings import Years
from keymiss.keys import DocumentKeys, document_of_sentence, edge_key, links_key, slot_tag
from keymiss.search.question import normalise_question
from keymiss.server.servers import Servers
from keymiss.server.topology import Primary, first_slot

LINKS_SECONDS = 3.0
"""How long the reply of a shard may take."""

ANSWER_LINKS_SECONDS = 1.0
"""How long an answer waits for its links."""


@dataclass(frozen=True, slots=True)
class EdgeSentence:
    """A sentence that names both concepts of an edge, and its document's title and year."""

    sentence: str
    text: str
    title: str
    year: int


@dataclass(frozen=True, slots=True)
class EdgeSentences:
    """An edge's best sentences, one of each document, and how many the edge has in each year."""

    sentences: tuple[EdgeSentence, ...]
    years: Years
    complete: bool


async def neighbourhood(servers: Servers, text: str) -> Neighbourhood:
    """The concepts that a question names, and their edges.

    Raises:
        BadInput: the text is not a question.
        NoGraph: there is no concept graph.
        Unavailable: no shard can be reached.
        TooSlow: no shard has computed it in time.
    """
    question = normalise_question(text)
    replies, complete = await _of_each_shard(servers, lambda tag: links_key(tag, question))
    # This runs in a thread: a concept that is frequent in the corpus has hundreds of neighbours.
    return await asyncio.to_thread(_added_up, replies, complete)


def _added_up(replies: Sequence[bytes], complete: bool) -> Neighbourhood:
    found = Neighbourhood(complete=complete)
    for reply in replies:
        found.add(reply)
    return found


async def neighbourhood_if_any(servers: Servers, text: str) -> Neighbourhood:
    """The neighbourhood to show beside an answer: empty and incomplete when it takes longer than a
    second, empty and complete when there is no concept graph."""
    try:
        async with asyncio.timeout(ANSWER_LINKS_SECONDS):
            return await neighbourhood(servers, text)
    except NoGraph:
        return Neighbourhood()
    except (KeymissError, ValkeyError, OSError):
        return Neighbourhood(complete=False)


async def edge_sentences(servers: Servers, source: str, target: str, most: int) -> EdgeSentences:
    """The sentences that name two concepts; those that name them most often come first.

    Raises:
        NotFound: one of the concepts is not in the vocabulary.
        Unavailable: there is no concept graph, or no shard can be reached.
        TooSlow: no shard has computed it in time.
    """
    source, target = sorted((source, target))
    replies, complete = await _of_each_shard(servers, lambda tag: edge_key(tag, source, target))
    years: Years = {}
    found: list[tuple[int, str, int]] = []
    for record in map(read_record, replies):
        for year, count in read_years(record["years"]).items():
            years[year] = years.get(year, 0) + count
        found += [(-mentions, name, year) for name, mentions, year in record["sentences"]]
    best = sorted(found)[:most]
    read = await read_shown(servers, [_place(name) for _, name, _ in best])
    sentences = [
        EdgeSentence(name, shown.text, shown.title, year)
        for (_, name, year), shown in zip(best, read, strict=True)
        if isinstance(shown, Shown)
    ]
    complete = complete and not any(isinstance(shown, Exception) for shown in read)
    return EdgeSentences(tuple(sentences), dict(sorted(years.items())), complete)


def _place(sentence: str) -> tuple[DocumentKeys, int]:
    return document_of_sentence(sentence), int(sentence.rpartition(":")[2])


async def _of_each_shard(
    servers: Servers, key_of: Callable[[str], str]
) -> tuple[list[bytes], bool]:
    """What each shard computes for a key with one of its tags, and whether all have replied."""
    try:
        topology = await servers.topology()
    except (TimeoutError, ValkeyError, OSError) as error:
        raise _explained(error) from error

    async def ask(primary: Primary) -> bytes:
        async with asyncio.timeout(LINKS_SECONDS):
            value = await compute(servers, key_of(slot_tag(first_slot(primary.slots))))
        if value is None:
            raise NoGraph
        return value

    found = await asyncio.gather(*map(ask, topology.primaries), return_exceptions=True)
    replies = [one for one in found if isinstance(one, bytes)]
    failed = [one for one in found if isinstance(one, BaseException)]
    # A fault in the question is a fault on every shard, so that one reply is enough to report it.
    # That there is no graph is only true when all shards say so.
    refused = next((one for one in failed if isinstance(one, BadInput | NotFound)), None)
    lost = next((one for one in failed if not isinstance(one, NoGraph)), None)
    if refused or (failed and not replies):
        raise _explained(refused or lost or failed[0])
    return replies, not failed


def _explained(error: BaseException) -> BaseException:
    if isinstance(error, TimeoutError):
        return TooSlow(f"no answer within {LINKS_SECONDS:.0f} s")
    if isinstance(error, ValkeyError | OSError):
        return Unavailable(f"the server cannot be reached: {error}")
    return error
