"""Adds up what the shards say about a question's concepts, and ranks edges and sentences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keymiss.graph.postings import DIGITS, Years, rarity
from keymiss.values.json_value import from_json_value

GRAPH_FORMAT = 1
"""The format of the values of `links` and `edge` keys."""

Ends = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Node:
    """A concept; `rank` is the sum of the ranks of its links."""

    id: str
    name: str
    type: str
    rank: int


@dataclass(frozen=True, slots=True)
class Link:
    """An edge: two concepts that sentences name together. `source` < `target`; `rank` is the number
    of these sentences; `first` and `last` are the first and the last year of their documents, 0
    when unknown."""

    source: str
    target: str
    rank: int
    first: int
    last: int


@dataclass
class Neighbourhood:
    """A question's concepts and their edges, of all shards that have answered."""

    asked: list[str] = field(default_factory=list)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The name and the type of each concept, by id."""
    frequencies: Counter[str] = field(default_factory=Counter)
    """How many sentences name each of the asked concepts."""
    edges: dict[Ends, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """The number of sentences of each edge, by year."""
    sentences: list[tuple[str, tuple[str, ...], int]] = field(default_factory=list)
    """The name of each sentence, the asked concepts in it, and how often it names them."""
    complete: bool = True
    """Whether all shards have answered."""

    def add(self, value: bytes) -> None:
        """Adds the reply of a shard, which is the value of a `links` key."""
        record = read_record(value)
        self.asked = self.asked or record["asked"]
        self.names.update({id_: tuple(pair) for id_, pair in record["concepts"].items()})
        self.frequencies.update(record["frequencies"])
        for source, target, years in record["edges"]:
            self.edges[source, target].update(read_years(years))
        self.sentences += [(name, tuple(ids), count) for name, ids, count in record["sentences"]]

    def links(self, years: Collection[int] = (), excluded: Collection[str] = ()) -> list[Link]:
        """All edges; those of the most sentences come first.

        Args:
            years: only sentences of these years count; when empty, all count.
            excluded: concepts whose edges are left out.
        """
        links = []
        for (source, target), counts in self.edges.items():
            counted = {y: n for y, n in counts.items() if n and (not years or y in years)}
            if counted and source not in excluded and target not in excluded:
                first, last = span(counted)
                links.append(Link(source, target, sum(counted.values()), first, last))
        return sorted(links, key=lambda link: (-link.rank, link.source, link.target))

    def nodes(self, links: Sequence[Link], excluded: Collection[str] = ()) -> list[Node]:
        """The asked concepts, then the others that these links lead to. The rank of each concept is
        the sum of the ranks of these links that lead to it."""
        ranks = ranks_of(links)
        return [
            Node(id_, *self.names[id_], ranks[id_])
            for id_ in dict.fromkeys([*self.asked, *ranks])
            if id_ not in excluded
        ]

    def ranked_sentences(self) -> list[tuple[str, float]]:
        """The names of sentences that name asked concepts, and how rare these concepts are, taken
        together. The rarest come first, and those that are named most often."""
        ids = list(self.asked)
        frequencies = [self.frequencies[id_] for id_ in ids]
        rarities = dict(zip(ids, rarity(frequencies, sum(frequencies)).tolist(), strict=True))
        ranked = sorted(
            (
                -round(sum(rarities[id_] for id_ in named), DIGITS),
                -mentions,
                name,
            )
            for name, named, mentions in self.sentences
        )
        return [(name, -rarest) for rarest, _, name in ranked]


def ranks_of(links: Iterable[Link]) -> Counter[str]:
    """The rank of each concept that these links lead to, in the order of the links."""
    ranks: Counter[str] = Counter()
    for link in links:
        for id_ in (link.source, link.target):
            ranks[id_] += link.rank
    return ranks


def span(years: Years) -> tuple[int, int]:
    """The first and the last of the known years; 0 when no year is known."""
    known = [year for year, count in years.items() if year and count]
    return min(known, default=0), max(known, default=0)


def read_years(record: dict[str, int]) -> Years:
    """The counts by year, with years as numbers: JSON has only texts as keys."""
    return {int(year): count for year, count in record.items()}


def read_record(value: bytes) -> dict[str, Any]:
    """The record that a shard's worker made.

    Raises:
        ValueError: the value is of another format.
    """
    return from_json_value(GRAPH_FORMAT, value)
