"""The concept graph of a cluster is that of a single server, also when slots have moved."""

import pytest

from keymiss.corpus.demo import load_questions
from tests.cluster.load import HTTP, wait_for
from tests.cluster.test_moving_slots import atomically, slots_of_documents

QUESTION = "How do measles and fever spread among children by coughing?"


def search(http, text):
    return HTTP.post(f"{http}/search", json={"search": text, "limit": 400}).json()


@pytest.fixture
def graphs(system, single_server):
    """Both have matched all articles."""
    wait_for(lambda: search(single_server, QUESTION)["links"])
    wait_for(lambda: search(system.http, QUESTION) == search(single_server, QUESTION))
    return system.http, single_server


def test_searches_and_edges_are_those_of_a_single_server(graphs):
    cluster, single = graphs
    edges = set()
    for question in load_questions():
        found = search(single, question.text)
        assert search(cluster, question.text) == found
        edges |= {(link["source"], link["target"]) for link in found["links"][:2]}
    assert len(edges) > 60
    for source, target in edges:
        path = f"/edge/edges:{source}:{target}"
        assert HTTP.get(cluster + path).json() == HTTP.get(single + path).json()


def test_edges_move_with_their_documents(system, graphs):
    cluster, single = graphs
    expected = search(single, QUESTION)
    source, target = system.primaries[:2]
    slots = slots_of_documents(system, source)
    for places in ((source, target), (target, source)):
        atomically(system.cluster, *places, slots)
        wait_for(lambda: search(cluster, QUESTION) == expected)
