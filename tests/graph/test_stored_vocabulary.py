"""The vocabulary in the server: stored in parts, replaced whole, and followed by workers."""

import asyncio
import threading

import pytest

from keymiss.corpus.ingest import ingest
from keymiss.errors import SetupError
from keymiss.graph import graph_service, vocabulary_store
from keymiss.graph.graph_service import serve_graph
from keymiss.graph.vocabulary import Concept, Vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary, stored_vocabulary

SMALL = Vocabulary([Concept("K1", "measles"), Concept("K2", "Fieber", ("fièvre",), "symptom")])
LARGE = Vocabulary(Concept(f"K{number}", f"term {number}") for number in range(1000))


def test_what_is_stored_comes_back_from_as_many_parts_as_it_takes(raw, monkeypatch):
    monkeypatch.setattr(vocabulary_store, "PART_BYTES", 1000)
    assert stored_vocabulary(raw) is None
    for vocabulary in (LARGE, SMALL):
        store_vocabulary(raw, vocabulary)
        assert stored_vocabulary(raw).concepts == vocabulary.concepts
    assert len(raw.keys("keymiss:vocabulary*")) == 2


def test_a_damaged_one_is_an_error(raw):
    store_vocabulary(raw, SMALL)
    part = raw.keys("keymiss:vocabulary:*")[0]
    raw.set(part, "x")
    with pytest.raises(SetupError, match="cannot be read"):
        stored_vocabulary(raw)
    raw.delete(part)
    with pytest.raises(SetupError, match="a part of it is missing"):
        stored_vocabulary(raw)


def test_a_key_of_another_program_stays_as_it_is(raw):
    raw.set("keymiss:vocabulary", "theirs")
    with pytest.raises(SetupError, match="belongs to another program"):
        store_vocabulary(raw, SMALL)
    assert raw.get("keymiss:vocabulary") == b"theirs"


@pytest.fixture
def following(server, monkeypatch):
    """A worker's part that serves the graph."""
    monkeypatch.setattr(graph_service, "VOCABULARY_WATCH_SECONDS", 0.05)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve_graph(server.url, stop),))
    thread.start()
    yield
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    assert not thread.is_alive()
    loop.close()


def test_workers_follow_the_vocabulary(raw, following, tmp_path, eventually):
    (tmp_path / "a.txt").write_text("Measles brings Fieber. It is term 7.")
    ingest(raw, [tmp_path])
    store_vocabulary(raw, SMALL)
    eventually(lambda: raw.keys("keymiss:edges:K1:K2:*"))
    store_vocabulary(raw, LARGE)
    (record,) = raw.keys("keymiss:concepts:*")
    eventually(lambda: (raw.hget(record, "1") or b"").startswith(b'[["K7"'))
    assert not raw.keys("keymiss:edges:*")
