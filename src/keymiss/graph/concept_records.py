"""The function `concepts`, which records the sentences' concepts and edges beside the text."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence

from keymiss.corpus.document_reads import Derived, StoredText, read_derived, read_stored
from keymiss.function_names import FunctionName
from keymiss.functions import Event, Function, Shard, keys_by_shard, on_write
from keymiss.graph.concept_matcher import Match, Matcher
from keymiss.graph.vocabulary import Vocabulary
from keymiss.keys import (
    CONCEPTS,
    DOCUMENTS,
    EDGES,
    STAMP,
    TEXT_HASH,
    YEAR,
    DocumentKeys,
    encode,
    parse_document_key,
)
from keymiss.server.lua_script import load_lua
from keymiss.server.topology import raise_unless_elsewhere
from keymiss.server.transactions import Command

MOST_CONCEPTS = 15
"""How many concepts of a sentence are recorded, at most: fifteen make 105 edges. A sentence that
names more is a list."""

MOST_EDGES = 10_000
"""How many edges of a document are recorded, at most, since the server does it in one turn. Later
sentences are left out."""

_RECORD = load_lua(__file__, "record_concepts")


def concepts_function(vocabulary: Vocabulary, matcher: Matcher) -> Function:
    """The function that keeps `keymiss:concepts:` and `keymiss:edges:` keys in step with the
    documents."""
    version = vocabulary.fingerprint

    @on_write(DOCUMENTS, name=FunctionName.CONCEPTS, batch=64, derived=CONCEPTS, version=version)
    async def follow(events: Sequence[Event]) -> None:
        for shard, keys in keys_by_shard(events).items():
            await update_concepts(vocabulary, matcher, shard, keys)

    return follow


async def update_concepts(
    vocabulary: Vocabulary, matcher: Matcher, shard: Shard, keys: Sequence[str]
) -> None:
    """Makes the records of these documents agree with their texts. `keys` are keys of facts or of
    records."""
    parsed = dict.fromkeys(parse_document_key(key) for key in keys)
    beside = await read_derived(
        shard,
        [document for document in parsed if document],
        lambda each: ("HMGET", each.concepts, STAMP, YEAR),
    )
    stale = [each.document for each in beside if _is_stale(vocabulary, each)]
    recording = [
        await asyncio.to_thread(_recording, vocabulary, matcher, document, text)
        for document, text in zip(stale, await read_stored(shard, stale), strict=True)
        if text
    ]
    # One by one, so that the server serves others in between.
    for command in recording:
        (result,) = await shard.write([[command]])
        raise_unless_elsewhere(result)


def _is_stale(vocabulary: Vocabulary, beside: Derived) -> bool:
    """Whether the record belongs to another text, another year or another vocabulary."""
    stamp, year = beside.reply
    wanted = _stamp(vocabulary, beside.text_hash)
    # Even a record that broke off has a year.
    if wanted is None:
        return year is not None
    return bool(stamp != wanted or year != (beside.year or b""))


def _stamp(vocabulary: Vocabulary, of_text: bytes | None) -> bytes | None:
    return None if of_text is None else of_text + b" " + vocabulary.fingerprint.encode()


def _recording(
    vocabulary: Vocabulary, matcher: Matcher, document: DocumentKeys, text: StoredText
) -> Command:
    """The command that calls the script for a document as it was read."""
    fields = _fields(vocabulary, matcher, text.sentences)
    stamp = _stamp(vocabulary, text.text_hash) if text.sentences else None
    return (
        *("EVAL", _RECORD, 2, encode(document.facts), encode(document.concepts)),
        *(text.text_hash or b"", stamp or b"", EDGES, document.edges_suffix),
        *(encode(document.sentence_prefix), TEXT_HASH, STAMP, YEAR),
        *itertools.chain.from_iterable(fields),
    )


def _fields(
    vocabulary: Vocabulary, matcher: Matcher, sentences: Mapping[int, str]
) -> list[tuple[int, str]]:
    """The number of each sentence that names concepts, in order, with its mentions as JSON."""
    fields = []
    edges = 0
    for number, text in sentences.items():
        named = _first_concepts(matcher.find(text))
        count = len({match.concept for match in named})
        edges += count * (count - 1) // 2
        if edges > MOST_EDGES:
            break
        if named:
            fields.append((number, _to_json(vocabulary, named)))
    return fields


def _first_concepts(matches: Sequence[Match]) -> list[Match]:
    """The matches of those concepts that the sentence names first."""
    kept = set(itertools.islice(dict.fromkeys(match.concept for match in matches), MOST_CONCEPTS))
    return [match for match in matches if match.concept in kept]


def _to_json(vocabulary: Vocabulary, matches: Sequence[Match]) -> str:
    mentions = [[vocabulary.concepts[each.concept].id, each.start, each.end] for each in matches]
    return json.dumps(mentions, ensure_ascii=False, separators=(",", ":"))
