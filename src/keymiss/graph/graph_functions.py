"""The functions `graph`, `links` and `edge`: they hold a shard's concepts and search them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from valkey.exceptions import ResponseError

from keymiss.errors import BadInput, NotFound
from keymiss.function_names import FunctionName
from keymiss.functions import Event, Function, Shard, keys_by_shard, on_miss, on_write
from keymiss.functions.function import Result
from keymiss.graph.concept_matcher import Matcher
from keymiss.graph.concept_records import concepts_function
from keymiss.graph.metrics import GRAPH_CONCEPTS, GRAPH_DOCUMENTS, GRAPH_SENTENCES
from keymiss.graph.neighbourhood import GRAPH_FORMAT
from keymiss.graph.postings import NamedIn, Postings
from keymiss.graph.vocabulary import Vocabulary
from keymiss.keys import (
    CONCEPTS,
    EDGE,
    EDGE_FORM,
    LINKS,
    LINKS_FORM,
    STAMP,
    YEAR,
    DocumentKeys,
    decode,
    parse_document_key,
    parse_shard_key,
)
from keymiss.search.question import check_question
from keymiss.server.topology import is_elsewhere
from keymiss.values.json_value import to_json_value

MOST_ASKED = 20
"""How many concepts of a question are used, at most; those that it names later are left out."""

MOST_NEIGHBOURS = 400
"""How many neighbours of a concept a shard gives, at most: those in the most sentences. For others,
ranks that are added up over shards may be too low."""

MOST_NAMING = 50
MOST_OF_EDGE = 100


class Graph:
    """The concepts of all shards that a worker serves."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.matcher = Matcher(vocabulary)
        self._shards: dict[str, Postings] = {}

    def postings(self, shard: str) -> Postings:
        """The postings of the shard with this id."""
        return self._shards.setdefault(shard, Postings())


def graph_functions(vocabulary: Vocabulary) -> list[Function]:
    """The functions that record a vocabulary's concepts, keep them in memory, and search them."""
    graph = Graph(vocabulary)

    def known(shard: Shard) -> list[str]:
        return [keys.concepts for keys in graph.postings(shard.id).known()]

    @on_write(CONCEPTS, name=FunctionName.GRAPH, each=True, known=known, batch=16)
    async def follow(events: Sequence[Event]) -> None:
        for shard, keys in keys_by_shard(events).items():
            await update_postings(graph, shard, keys)

    @on_miss(LINKS, name=FunctionName.LINKS, form=LINKS_FORM, cache="off", batch=64)
    def links(events: Sequence[Event]) -> list[Result]:
        return [_answered(links_of, graph, event) for event in events]

    @on_miss(EDGE, name=FunctionName.EDGE, form=EDGE_FORM, cache="off", batch=64)
    def edge(events: Sequence[Event]) -> list[Result]:
        return [_answered(edge_of, graph, event) for event in events]

    return [concepts_function(vocabulary, graph.matcher), follow, links, edge]


async def update_postings(graph: Graph, shard: Shard, keys: Sequence[str]) -> None:
    """Makes the shard's postings agree with the records of these documents."""
    postings = graph.postings(shard.id)
    parsed = dict.fromkeys(parse_document_key(key) for key in keys)
    documents = [
        document
        for document in parsed
        if document and (shard.coverage.holds(document.concepts) or postings.stamp(document))
    ]
    records = await shard.read([("HGETALL", each.concepts) for each in documents])
    for document, record in zip(documents, records, strict=True):
        if is_elsewhere(record):
            if not shard.coverage.speaks_for(document.concepts):
                await asyncio.to_thread(postings.remove, document)
            continue
        if isinstance(record, ResponseError):
            raise record
        fields = dict(zip(record[::2], record[1::2], strict=True))
        # Each in a thread, so that questions are answered in between.
        await asyncio.to_thread(_update, graph, postings, document, fields)
    sizes = zip((GRAPH_DOCUMENTS, GRAPH_SENTENCES, GRAPH_CONCEPTS), postings.size(), strict=True)
    for gauge, size in sizes:
        gauge.labels(shard.id).set(size)


def _update(
    graph: Graph, postings: Postings, document: DocumentKeys, record: dict[bytes, bytes]
) -> None:
    stamp = decode(record.get(STAMP.encode(), b""))
    # The record is of another vocabulary, or is still being written: another event will follow.
    if stamp.partition(" ")[2] != graph.vocabulary.fingerprint:
        postings.remove(document)
        return
    year = record.get(YEAR.encode(), b"")
    held = f"{stamp} {decode(year)}"
    if postings.stamp(document) == held:
        return
    sentences: dict[int, dict[int, int]] = {}
    for field, value in record.items():
        if not field.isdigit():
            continue
        counts = sentences.setdefault(int(field), {})
        for id_, _, _ in json.loads(value):
            number = graph.vocabulary.numbers[id_]
            counts[number] = counts.get(number, 0) + 1
    postings.put(document, held, int(year) if year.isdigit() else 0, sentences)


Answering = Callable[[Graph, Postings, str], dict[str, Any]]


def _answered(answering: Answering, graph: Graph, event: Event) -> Result:
    try:
        asked = parse_shard_key(event.key)
        answer = answering(graph, graph.postings(event.shard.id), asked)
    except (BadInput, NotFound) as error:
        return error
    return to_json_value(GRAPH_FORMAT, answer, compact=True)


def links_of(graph: Graph, postings: Postings, question: str) -> dict[str, Any]:
    """The question's concepts, their edges and their sentences."""
    check_question(question)
    asked = list(dict.fromkeys(match.concept for match in graph.matcher.find(question)))
    asked = asked[:MOST_ASKED]
    concepts = graph.vocabulary.concepts
    edges: dict[tuple[str, str], dict[int, int]] = {}
    named = set(asked)
    for concept in asked:
        for other, years in postings.neighbours(concept, MOST_NEIGHBOURS).items():
            ends = sorted((concepts[concept].id, concepts[other].id))
            edges[ends[0], ends[1]] = years
            named.add(other)
    found = postings.naming(asked, MOST_NAMING)
    return {
        "asked": [concepts[concept].id for concept in asked],
        "concepts": {concepts[n].id: [concepts[n].name, concepts[n].type] for n in sorted(named)},
        "frequencies": {concepts[n].id: postings.frequency(n) for n in asked},
        "edges": [[*ends, years] for ends, years in edges.items()],
        "sentences": [_sentence(graph, one) for one in found],
    }


def _sentence(graph: Graph, one: NamedIn) -> list[Any]:
    ids = [graph.vocabulary.concepts[concept].id for concept in one.concepts]
    return [one.name, ids, one.mentions]


def edge_of(graph: Graph, postings: Postings, asked: str) -> dict[str, Any]:
    """The best sentences of an edge, which name its concepts most often; one of each document."""
    source, _, target = asked.partition(":")
    one, other = (graph.vocabulary.numbers.get(id_) for id_ in (source, target))
    if one is None or other is None or one == other:
        raise NotFound(f"{asked!r} is not a pair of concepts in the vocabulary; write SRC:DST")
    years, found = postings.of_edge(one, other, 10 * MOST_OF_EDGE)
    found.sort(key=lambda pair: (-pair[0].mentions, pair[0].name))
    best: dict[DocumentKeys, list[Any]] = {}
    for named, year in found:
        best.setdefault(named.keys, [named.name, named.mentions, year])
    return {"years": years, "sentences": list(best.values())[:MOST_OF_EDGE]}
