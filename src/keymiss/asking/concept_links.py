"""A question's concepts and edges, and an edge's sentences, of all shards together."""

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
"""How long shards that do not answer are waited for."""

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
    """The best sentences of an edge, one of each document; how many there are in each year."""

    sentences: tuple[EdgeSentence, ...]
    years: Years
    complete: bool


async def neighbourhood(servers: Servers, text: str) -> Neighbourhood:
    """The concepts that a question names, and their edges.

    Raises:
        BadInput: the text is no question.
        NoGraph: there is no concept graph.
        Unavailable: no shard can be reached.
    """
    question = normalise_question(text)
    replies, complete = await _of_each_shard(servers, lambda tag: links_key(tag, question))
    # In a thread: a concept that the corpus is full of has hundreds of neighbours.
    return await asyncio.to_thread(_added_up, replies, complete)


def _added_up(replies: Sequence[bytes], complete: bool) -> Neighbourhood:
    found = Neighbourhood(complete=complete)
    for reply in replies:
        found.add(reply)
    return found


async def neighbourhood_if_any(servers: Servers, text: str) -> Neighbourhood:
    """The same beside an answer: what is not there within a second stays away. Without a concept
    graph nothing is missing."""
    try:
        async with asyncio.timeout(ANSWER_LINKS_SECONDS):
            return await neighbourhood(servers, text)
    except NoGraph:
        return Neighbourhood()
    except (KeymissError, ValkeyError, OSError):
        return Neighbourhood(complete=False)


async def edge_sentences(servers: Servers, source: str, target: str, most: int) -> EdgeSentences:
    """The sentences that name two concepts, those first that name them most often.

    Raises:
        NotFound: the vocabulary does not know a concept.
        Unavailable: there is no concept graph, or no shard can be reached.
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
    """What each shard computes for a key with one of its tags, and whether all have."""
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
    # What is wrong with the question is wrong everywhere; that there is no graph is so when all
    # shards say it.
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
