"""Reads the whole graph from the keys, and writes it to files or a graph database."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from xml.etree import ElementTree as xml

from keymiss.errors import NoGraph, Unavailable, missing_extra
from keymiss.graph.neighbourhood import Ends, Link, Node, ranks_of, span
from keymiss.graph.vocabulary_store import stored_vocabulary
from keymiss.keys import CONCEPTS, YEAR
from keymiss.server.client import SCAN_COUNT, Client, primaries_of

ROWS_AT_ONCE = 1000

FALKORDB_GRAPH = "keymiss"
"""The name of the graph that an export replaces."""

_CREATE_NODES = """
UNWIND $rows AS row
CREATE (:entity {id: row[0], name: row[1], type: row[2], rank: row[3]})
"""
_CREATE_LINKS = """
UNWIND $rows AS row
MATCH (source:entity {id: row[0]}), (target:entity {id: row[1]})
CREATE (source)-[:related {rank: row[2], year: row[3], last_year: row[4]}]->(target)
"""


@dataclass(frozen=True, slots=True)
class ConceptGraph:
    """All concepts that sentences name, and all edges, both ordered by id."""

    nodes: list[Node]
    links: list[Link]


def collect_graph(client: Client) -> ConceptGraph:
    """Reads the graph from the records of all documents.

    Raises:
        NoGraph: there is no vocabulary.
    """
    vocabulary = stored_vocabulary(client)
    if vocabulary is None:
        raise NoGraph
    seen: set[str] = set()
    years_of: defaultdict[Ends, Counter[int]] = defaultdict(Counter)
    for year, named in _sentences(client):
        seen |= named
        for source, target in itertools.combinations(sorted(named), 2):
            years_of[source, target][year] += 1
    links = [Link(*ends, years.total(), *span(years)) for ends, years in sorted(years_of.items())]
    ranks = ranks_of(links)
    nodes = [
        Node(one.id, one.name, one.type, ranks[one.id])
        for one in sorted(vocabulary.concepts, key=lambda one: one.id)
        if one.id in seen
    ]
    return ConceptGraph(nodes, links)


def _sentences(client: Client) -> Iterator[tuple[int, set[str]]]:
    """The year and the concepts of each sentence that names a concept."""
    for primary in primaries_of(client):
        # SCAN may name a key twice.
        keys = iter(set(primary.scan_iter(f"{CONCEPTS}*", SCAN_COUNT)))
        while some := list(itertools.islice(keys, ROWS_AT_ONCE)):
            pipeline = primary.pipeline(transaction=False)
            for key in some:
                pipeline.hgetall(key)
            for record in pipeline.execute():
                year = record.pop(YEAR.encode(), b"")
                for field, value in record.items():
                    if field.isdigit():
                        named = {id_ for id_, _, _ in json.loads(value)}
                        yield int(year) if year.isdigit() else 0, named


def write_graphml(graph: ConceptGraph, file: Path) -> None:
    """Writes undirected GraphML (http://graphml.graphdrawing.org/specification.html)."""
    root = xml.Element("graphml", {"xmlns": "http://graphml.graphdrawing.org/xmlns"})
    for kind, row in (("node", Node), ("edge", Link)):
        for name, type_ in _attributes(row):
            described = {"id": f"{kind}-{name}", "for": kind, "attr.name": name, "attr.type": type_}
            xml.SubElement(root, "key", described)
    drawn = xml.SubElement(root, "graph", {"id": "concepts", "edgedefault": "undirected"})
    for node in graph.nodes:
        _describe(xml.SubElement(drawn, "node", {"id": node.id}), node)
    for link in graph.links:
        ends = {"source": link.source, "target": link.target}
        _describe(xml.SubElement(drawn, "edge", ends), link)
    xml.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _attributes(row: type[Node] | type[Link]) -> list[tuple[str, str]]:
    """The fields of a row, with their types, except those that GraphML has attributes for."""
    own = {"id", "source", "target"}
    return [
        (one.name, "int" if one.type == "int" else "string")
        for one in fields(row)
        if one.name not in own
    ]


def _describe(element: xml.Element, row: Node | Link) -> None:
    for name, _ in _attributes(type(row)):
        data = xml.SubElement(element, "data", {"key": f"{element.tag}-{name}"})
        data.text = str(getattr(row, name))


def write_csv(graph: ConceptGraph, folder: Path) -> None:
    """Writes `nodes.csv` and `edges.csv`, with headers, into a folder, which it creates."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, type[Node] | type[Link], Sequence[Node | Link]]] = [
        ("nodes.csv", Node, graph.nodes),
        ("edges.csv", Link, graph.links),
    ]
    for name, row, entries in rows:
        with (folder / name).open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(one.name for one in fields(row))
            writer.writerows(map(astuple, entries))


def write_to_falkordb(graph: ConceptGraph, url: str) -> None:
    """Replaces the graph `keymiss` in a FalkorDB server. Its nodes are `entity`, its edges are
    `related` and lead from the lower to the higher id.

    Raises:
        SetupError: the package `falkordb` is not installed.
        Unavailable: the server cannot be reached, or is not a FalkorDB server.
    """
    try:
        from falkordb import FalkorDB
        from redis.exceptions import RedisError
    except ImportError:
        raise missing_extra("FalkorDB's client", "falkordb") from None
    try:
        database = FalkorDB.from_url(url)
        target = database.select_graph(FALKORDB_GRAPH)
        if FALKORDB_GRAPH in database.list_graphs():
            target.delete()
        target.create_node_range_index("entity", "id")
        for query, rows in ((_CREATE_NODES, graph.nodes), (_CREATE_LINKS, graph.links)):
            for some in _batches(rows):
                target.query(query, {"rows": [list(astuple(row)) for row in some]})
    except (RedisError, OSError) as error:
        raise Unavailable(f"{url} cannot be written to: {error}") from None


def _batches(rows: Iterable[Node | Link]) -> Iterator[list[Node | Link]]:
    remaining = iter(rows)
    while some := list(itertools.islice(remaining, ROWS_AT_ONCE)):
        yield some
