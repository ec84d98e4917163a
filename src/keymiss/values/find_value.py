"""What was found on a shard, or on several together, as workers hand it to who ranks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from keymiss.search.ranking import added_up, rank
from keymiss.search.sentence_index import Candidate, Candidates
from keymiss.server.topology import Slots, joined, slot_ranges, union

FORMAT = 4

CANDIDATES = 20
"""Two for each sentence that is read: what is best over all shards is among them."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What a shard has found, and in which slots; `owned` are those that it holds. Until it is
    settled another shard may count documents of its, too."""

    candidates: Candidates
    slots: Slots
    owned: Slots
    settled: bool


def together(parts: Sequence[Searched]) -> Sequence[Searched]:
    """What one shard that held all would have found; the parts while a slot is on its way between
    them, since then it matters who has found what."""
    slots = joined(part.slots for part in parts)
    once = slots.bit_count() == sum(part.slots.bit_count() for part in parts)
    if not once or not all(part.settled for part in parts):
        return parts
    found = [part.candidates for part in parts]
    of_name = {each.sentence: each for one in found for each in one.candidates}
    best = tuple(of_name[each.sentence] for each in rank(found)[:CANDIDATES])
    return [Searched(replace(added_up(found), candidates=best), slots, slots, settled=True)]


def searched_to_json(searched: Searched) -> str:
    """The value of a `find` key."""
    # Not asdict, which copies all that it holds: most of the time a search takes.
    candidates = searched.candidates
    record = {field.name: getattr(candidates, field.name) for field in fields(Candidates)}
    record["candidates"] = [
        (each.sentence, each.length, each.frequencies) for each in candidates.candidates
    ]
    where = {"slots": slot_ranges(searched.slots), "owned": slot_ranges(searched.owned)}
    return json.dumps({"v": FORMAT, **where, "settled": searched.settled, **record})


def all_searched_to_json(parts: Sequence[Searched]) -> str:
    """The value of a `findhere` key."""
    return f"[{','.join(map(searched_to_json, parts))}]"


def searched_from_json(value: bytes) -> Searched:
    """Reads what `searched_to_json` made.

    Raises:
        ValueError: it is of another format.
    """
    return _searched(json.loads(value))


def all_searched_from_json(value: bytes) -> list[Searched]:
    """Reads the value of a `findhere` key.

    Raises:
        ValueError: it is of another format.
    """
    return [_searched(record) for record in json.loads(value)]


def _searched(record: Any) -> Searched:
    if not isinstance(record, dict) or record.pop("v", None) != FORMAT:
        raise ValueError(f"no find value of format {FORMAT}: {str(record)[:80]}")
    slots, owned = union(record.pop("slots")), union(record.pop("owned"))
    settled = bool(record.pop("settled"))
    candidates = tuple(Candidate(*candidate) for candidate in record.pop("candidates"))
    return Searched(Candidates(**record, candidates=candidates), slots, owned, settled)
