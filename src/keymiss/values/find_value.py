"""The values of `find` and `findhere` keys: candidates of one shard, or of all on a host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from keymiss.server.topology import Slots, slot_ranges, union
from keymiss.values.json_value import fields_of, from_json_value, to_json_value

FIND_FORMAT = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that shares terms with the question, itself or by its neighbours, or one whose
    vector is near the question's."""

    sentence: str
    """The sentence's name, `DOC:{TAG}:N`."""
    length: int
    """How many terms the sentence has, with neighbours and title, in tenths."""
    frequencies: Sequence[int]
    """How often it has each term of the question, likewise, in the order of `sentence_counts`."""
    document_length: int
    """How many terms its document has."""
    document_frequencies: Sequence[int]
    """How often its document has each term of the question."""
    sizes: Sequence[int]
    """How many characters the two sentences before it, it, and the two after it have; 0 where there
    is no such sentence."""
    cosine: float | None = None
    """How near the sentence's vector is to the question's; None when it has none."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one shard contributes to a ranking over all shards."""

    documents: int
    documents_length: int
    """How many terms all documents of the shard have."""
    sentences: int
    total_length: int
    """How many terms all sentences of the shard have, with neighbours and titles, in tenths."""
    sentence_counts: dict[str, int]
    """In how many sentences of the shard each term of the question occurs."""
    document_counts: Sequence[int]
    """In how many documents each term occurs."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class ShardCandidates:
    """What a shard has found, and in which slots it looked.

    `owned` are the slots that the shard holds. `settled` is false while slots move: then another
    shard may count the same documents, too. `passage_ms` is how many milliseconds the worker's
    reader takes for a passage; 0 when it has none.
    """

    candidates: Candidates
    slots: Slots
    owned: Slots
    settled: bool
    passage_ms: float = 0.0


def shard_candidates_to_json(found: ShardCandidates) -> str:
    """The value of a `find` key."""
    # asdict would copy everything inside, which would take most of the time of a search.
    candidates = found.candidates
    record: dict[str, Any] = {
        "slots": slot_ranges(found.slots),
        "owned": slot_ranges(found.owned),
        "settled": found.settled,
        "passage_ms": found.passage_ms,
        **{field.name: getattr(candidates, field.name) for field in fields(Candidates)},
    }
    record["candidates"] = [
        (
            *(each.sentence, each.length, each.frequencies),
            *(each.document_length, each.document_frequencies, each.sizes, each.cosine),
        )
        for each in candidates.candidates
    ]
    return to_json_value(FIND_FORMAT, record, compact=True, ascii=True)


def host_candidates_to_json(parts: Sequence[ShardCandidates]) -> str:
    """The value of a `findhere` key."""
    return f"[{','.join(map(shard_candidates_to_json, parts))}]"


def shard_candidates_from_json(value: bytes) -> ShardCandidates:
    """Reads the value of a `find` key.

    Raises:
        ValueError: the value is of another format.
    """
    return _shard_candidates(from_json_value(FIND_FORMAT, value))


def host_candidates_from_json(value: bytes) -> list[ShardCandidates]:
    """Reads the value of a `findhere` key.

    Raises:
        ValueError: the value is of another format.
    """
    return [_shard_candidates(fields_of(FIND_FORMAT, record)) for record in json.loads(value)]


def _shard_candidates(record: dict[str, Any]) -> ShardCandidates:
    slots, owned = union(record.pop("slots")), union(record.pop("owned"))
    settled, passage_ms = bool(record.pop("settled")), float(record.pop("passage_ms"))
    candidates = tuple(Candidate(*candidate) for candidate in record.pop("candidates"))
    found = Candidates(**record, candidates=candidates)
    return ShardCandidates(found, slots, owned, settled, passage_ms)
