"""Vectors follow the sentences, and sentences are found by their meaning."""

import asyncio
import logging
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from keymiss.answering import vectors_function
from keymiss.answering.vector_memory import (
    RESERVE_BYTES,
    VectorsChoice,
    VectorsMode,
    available_bytes,
    choose_vectors,
)
from keymiss.answering.vector_service import VectorService
from keymiss.answering.vectors_function import keeping_function, making_function
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest
from keymiss.corpus.verify import repair, verify
from keymiss.keys import TEXT_HASH, TITLE, VECTORS_NOTE, document_keys, find_key
from keymiss.reader import Encoder
from keymiss.search.ranking import rank
from keymiss.search.search_functions import search_functions
from keymiss.search.vector_index import VectorIndexes
from keymiss.values.find_value import shard_candidates_from_json
from keymiss.values.vectors_value import vectors_from_bytes, vectors_stamp
from tests.reader.test_families import GOLDEN

ENCODER = Encoder.from_pretrained()
OTHER = Encoder.from_pretrained(GOLDEN / "bert")
TEXT = "Cats sleep for most of the day. Prices of flats rose in June. Ships carry grain."


@pytest.fixture
def indexes():
    return VectorIndexes(ENCODER.encode_at_once, ENCODER.width)


@pytest.fixture
def serving(serve, indexes):
    """Serves everything that finds sentences."""
    serve(making_function(ENCODER, indexes), keeping_function(ENCODER, indexes))
    serve(*search_functions(vectors=indexes))


def write(raw, folder, text, title="", name="a"):
    (folder / f"{name}.md").write_text(f"# {title}\n\n{text}" if title else text)
    ingest(raw, [folder])
    return document_keys(name)


def stored(raw, keys, encoder=ENCODER):
    value = raw.get(keys.vectors(encoder.fingerprint))
    return None if value is None else vectors_from_bytes(value, encoder.width)


def is_current(raw, keys, encoder=ENCODER):
    found = stored(raw, keys, encoder)
    of_text, title = raw.hmget(keys.facts, TEXT_HASH, TITLE)
    return found is not None and found[0] == vectors_stamp(of_text, title.decode())


def find(raw, question):
    return shard_candidates_from_json(raw.get(find_key("06S", question))).candidates


def names(raw, question):
    return [one.sentence for one in rank([find(raw, question)])]


def kept(indexes):
    return {each for index in indexes._shards.values() for each in index.known()}


def test_a_sentence_is_found_by_what_it_means(raw, serving, indexes, tmp_path, eventually):
    keys = write(raw, tmp_path, TEXT)
    eventually(lambda: kept(indexes) == {keys})
    assert names(raw, "How long do kittens nap?")[0] == keys.sentence(0)
    assert names(raw, "the cost of housing")[0] == keys.sentence(1)
    # Words count as well, and each candidate says both.
    by_words = find(raw, "Ships").candidates[0]
    assert by_words.sentence == keys.sentence(2)
    assert by_words.cosine > 0.3


def test_vectors_are_those_of_the_sentences_with_their_title(raw, serving, tmp_path, eventually):
    keys = write(raw, tmp_path, TEXT, "Pets")
    eventually(lambda: is_current(raw, keys))
    sentences = [f"Pets. {raw.hget(keys.sentences, n).decode()}" for n in range(3)]
    vectors = stored(raw, keys)[1]
    made = vectors.codes * vectors.scales[:, None]
    np.testing.assert_allclose((made * ENCODER.encode(sentences)).sum(axis=1), 1, atol=0.01)


def test_vectors_follow_a_rewrite_a_new_title_and_go_with_the_document(
    raw, serving, indexes, tmp_path, eventually
):
    keys = write(raw, tmp_path, TEXT, "Pets")
    eventually(lambda: is_current(raw, keys) and kept(indexes))
    write(raw, tmp_path, TEXT, "Animals")
    eventually(lambda: is_current(raw, keys))
    write(raw, tmp_path, "A single sentence stands here.", "Animals")
    eventually(lambda: is_current(raw, keys))
    eventually(lambda: names(raw, "How many phrases are there?") == [keys.sentence(0)])
    forget_documents(raw, [keys])
    eventually(lambda: stored(raw, keys) is None and not kept(indexes))
    assert names(raw, "How many phrases are there?") == []


def test_a_worker_that_comes_finds_what_has_no_vectors_and_what_is_damaged(
    raw, serve, indexes, tmp_path, eventually, caplog
):
    caplog.set_level(logging.INFO)
    keys = [write(raw, tmp_path, TEXT, name=name) for name in "abcd"]
    gone, whole = document_keys("gone"), keys[0].vectors(ENCODER.fingerprint)
    raw.set(gone.vectors(ENCODER.fingerprint), "x")
    raw.set(keys[1].vectors(ENCODER.fingerprint), "damaged")
    raw.set(keys[2].vectors("0ddba11"), "of another encoder")
    serve(making_function(ENCODER, indexes), keeping_function(ENCODER, indexes))
    eventually(lambda: all(is_current(raw, each) for each in keys) and len(kept(indexes)) == 4)
    assert len(raw.keys("keymiss:vectors:*")) == 4
    assert "the vectors of 'b' are made anew" in caplog.text
    # One that is damaged where nobody but a reader of the whole notices it.
    value = bytearray(raw.get(whole))
    value[-1] ^= 1
    raw.set(whole, bytes(value))
    eventually(lambda: raw.get(whole)[-1] == value[-1] ^ 1)
    assert is_current(raw, keys[0])
    assert caplog.text.count("the vectors of 'a' are made anew: it is damaged") == 1


def test_a_key_of_another_program_is_left_alone(raw, serve, indexes, tmp_path, eventually):
    keys = [write(raw, tmp_path, TEXT, name=name) for name in "ab"]
    foreign = keys[0].vectors(ENCODER.fingerprint)
    raw.lpush(foreign, "mine")
    serve(making_function(ENCODER, indexes), keeping_function(ENCODER, indexes))
    eventually(lambda: kept(indexes) == {keys[1]})
    assert raw.lrange(foreign, 0, -1) == [b"mine"]


def test_an_encoder_takes_the_place_of_another(raw, serve_for, indexes, tmp_path, eventually):
    keys = write(raw, tmp_path, TEXT)
    with serve_for(making_function(OTHER, VectorIndexes(OTHER.encode_at_once, OTHER.width))):
        eventually(lambda: is_current(raw, keys, OTHER))
        with running_service(raw, VectorService(ENCODER, VectorsMode.ON)):
            eventually(lambda: is_current(raw, keys))
            eventually(lambda: stored(raw, keys, OTHER) is None)


@contextmanager
def running_service(raw, service):
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    url = f"valkey://127.0.0.1:{raw.connection_pool.connection_kwargs['port']}"
    thread = threading.Thread(target=loop.run_until_complete, args=(service.run(url, stop),))
    thread.start()
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(15)
        loop.close()


def test_words_answer_what_has_no_vectors(raw, serve, indexes, tmp_path, eventually):
    keys = write(raw, tmp_path, TEXT)
    serve(*search_functions(vectors=indexes))
    eventually(lambda: names(raw, "Ships") == [keys.sentence(2), keys.sentence(1)])
    assert find(raw, "Ships").candidates[0].cosine is None
    serve(making_function(ENCODER, indexes), keeping_function(ENCODER, indexes))
    eventually(lambda: kept(indexes))
    other = write(raw, tmp_path, "Vessels bring wheat.", name="b")
    eventually(lambda: len(kept(indexes)) == 2)
    assert set(names(raw, "Ships")[:2]) == {keys.sentence(2), other.sentence(0)}


def test_vectors_of_a_text_that_the_index_does_not_hold_are_not_used(
    raw, serve, indexes, tmp_path, eventually
):
    keys = write(raw, tmp_path, TEXT)
    serve(making_function(ENCODER, indexes), keeping_function(ENCODER, indexes))
    serve(*search_functions(vectors=indexes))
    eventually(lambda: kept(indexes))
    (index,) = [each for each in indexes._shards.values() if each.known()]
    vectors = stored(raw, keys)[1]
    index.put(keys, b"of another text", vectors)
    assert all(each.cosine is None for each in find(raw, "Ships").candidates)
    assert names(raw, "How long do kittens nap?") == []


def test_vectors_are_made_between_questions(raw, serve, indexes, tmp_path, eventually, monkeypatch):
    monkeypatch.setattr(vectors_function, "PATIENCE", 1e6)
    serve(making_function(ENCODER, indexes), keeping_function(ENCODER, indexes))
    first = write(raw, tmp_path, TEXT)
    eventually(lambda: is_current(raw, first))
    end = time.monotonic() + 1.5
    indexes.search([("Who?", "another shard")], 1)
    keys = write(raw, tmp_path, TEXT, name="b")
    while time.monotonic() < end:
        indexes.search([("Who?", "another shard")], 1)
        time.sleep(0.05)
        assert not raw.exists(keys.vectors(ENCODER.fingerprint))
    eventually(lambda: is_current(raw, keys))


def test_strange_sentences_have_vectors(raw, serving, indexes, tmp_path, eventually):
    strange = "Word. 😀😀 is 😀. 猫が眠る。 " + "long " * 3000 + "end. Ünïcode ́ dots."
    keys = write(raw, tmp_path, strange)
    eventually(lambda: kept(indexes) == {keys})
    assert len(stored(raw, keys)[1].scales) == raw.hlen(keys.sentences)
    for question in ("😀", "the of", "猫", "?" * 2000, "ein two trois"):
        assert len(names(raw, question)) == raw.hlen(keys.sentences)


def test_when_memory_is_short_words_are_left(
    raw, serving, indexes, tmp_path, eventually, monkeypatch, caplog
):
    monkeypatch.setattr(vectors_function, "memory_is_short", lambda: True)
    keys = write(raw, tmp_path, TEXT)
    eventually(lambda: "memory is short: 'a' is found by its words only" in caplog.text)
    eventually(lambda: names(raw, "Ships")[:1] == [keys.sentence(2)])
    assert kept(indexes) == set()


def test_verify_finds_vectors_that_belong_to_nothing_or_to_another_text(
    raw, serve_for, indexes, tmp_path, eventually
):
    keys = write(raw, tmp_path, TEXT)
    with serve_for(making_function(ENCODER, indexes)):
        eventually(lambda: is_current(raw, keys))
    assert verify(raw) == []
    gone = document_keys("gone")
    raw.copy(keys.vectors(ENCODER.fingerprint), gone.vectors(ENCODER.fingerprint))
    (damage,) = verify(raw)
    assert (damage.key, damage.mend) == (gone.vectors(ENCODER.fingerprint), "delete")
    write(raw, tmp_path, "Another text.")
    damages = verify(raw)
    assert [each.wrong for each in damages] == ["belongs to no document", "belongs to another text"]
    repair(raw, damages)
    assert not raw.keys("keymiss:vectors:*")


INFO = {"used_memory_dataset": "1000000", "used_memory": "3000000", "maxmemory": "0"}


def test_auto_makes_vectors_where_there_is_memory():
    room = RESERVE_BYTES + 1_000_000
    assert choose_vectors(VectorsMode.AUTO, [INFO], room).on
    choice = choose_vectors(VectorsMode.AUTO, [INFO], room - 1)
    assert str(choice) == "off: 257 MiB are free here; vectors need 257 MiB"
    assert choose_vectors(VectorsMode.AUTO, [INFO | {"maxmemory": "4000000"}], room).on
    choice = choose_vectors(VectorsMode.AUTO, [INFO | {"maxmemory": "3999999"}], room)
    assert str(choice) == "off: a server holds 3 MiB and may hold 4 MiB; vectors need 1 MiB more"
    assert not choose_vectors(VectorsMode.AUTO, [INFO, INFO], room).on
    assert choose_vectors(VectorsMode.ON, [], 0) == VectorsChoice(True, "as the worker was started")
    assert not choose_vectors(VectorsMode.OFF, []).on


def test_the_memory_of_a_container_counts(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable: 5000 kB\n")
    assert available_bytes(meminfo, tmp_path) == 5_120_000
    (tmp_path / "memory.max").write_text("4000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\nactive_file 500000\ninactive_file 250000\n")
    assert available_bytes(meminfo, tmp_path) == 1_750_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(meminfo, tmp_path) == 5_120_000


def test_the_choice_is_noted_in_the_server(raw, eventually):
    with running_service(raw, VectorService(ENCODER, VectorsMode.AUTO)):
        eventually(lambda: raw.exists(VECTORS_NOTE))
    assert raw.get(VECTORS_NOTE).startswith(b"all-MiniLM-L6-v2 on: there is memory: ")
