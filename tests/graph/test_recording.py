"""The keys of the graph: the same whatever the way to the documents, and gone when these are."""

import itertools
import json
import random
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.file_formats import read_files
from keymiss.corpus.ingest import ingest
from keymiss.corpus.sentences import cut_text
from keymiss.graph.concept_matcher import Matcher
from keymiss.graph.graph_functions import graph_functions
from keymiss.graph.vocabulary import DEMO, Concept, Vocabulary
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.keys import TEXT_HASH, document_keys

VOCABULARY = Vocabulary(
    [
        Concept("K1", "measles", ("rubeola",)),
        Concept("K2", "cough"),
        Concept("K3", "fever"),
        Concept("K4", "measles virus"),
    ]
)


def write(folder, **texts):
    """Writes documents as files: text by id, a year behind `|`."""
    for file in folder.glob("*.jsonl"):
        file.unlink()
    lines = []
    for id_, text in texts.items():
        text, _, year = text.partition("|")
        lines.append(json.dumps({"id": id_, "text": text, "year": year or None}))
    (folder / "articles.jsonl").write_text("\n".join(lines))
    return folder


def graph_of(raw):
    """All that the keys say: records, and edges with their sentences and scores."""
    records = {key: raw.hgetall(key) for key in raw.scan_iter("keymiss:concepts:*")}
    edges = {
        key: dict(raw.zrange(key, 0, -1, withscores=True)) for key in raw.keys("keymiss:edges:*")
    }
    return records, edges


def is_done(raw, vocabulary):
    """Whether each document is recorded as it is, and nothing else is."""
    stamps = {
        key.replace(b"keymiss:document:", b"keymiss:concepts:"): raw.hget(key, TEXT_HASH)
        + f" {vocabulary.fingerprint}".encode()
        for key in raw.scan_iter("keymiss:document:*")
    }
    return stamps == {key: raw.hget(key, "of") for key in raw.scan_iter("keymiss:concepts:*")}


@pytest.fixture
def recording(serve):
    serve(*graph_functions(VOCABULARY))


def test_a_document_is_recorded_with_its_edges(raw, recording, tmp_path, eventually):
    text = "Measles brings fever, and fever. It is the measles virus!\n\nNothing here.|2001"
    ingest(raw, [write(tmp_path, a=text)])
    eventually(lambda: is_done(raw, VOCABULARY))
    keys = document_keys("a")
    record = raw.hgetall(keys.concepts)
    assert record[b"year"] == b"2001"
    assert json.loads(record[b"0"]) == [["K1", 0, 7], ["K3", 15, 20], ["K3", 26, 31]]
    assert json.loads(record[b"1"]) == [["K4", 10, 23]]
    assert b"2" not in record
    assert raw.zrange(keys.edge("K1", "K3"), 0, -1, withscores=True) == [
        (keys.sentence(0).encode(), 3.0)
    ]
    assert len(raw.keys("keymiss:edges:*")) == 1


def test_a_rewrite_replaces_edges_and_forgetting_takes_them_away(
    raw, recording, tmp_path, eventually
):
    ingest(raw, [write(tmp_path, a="Measles and fever.", b="Measles, fever, cough.")])
    eventually(lambda: is_done(raw, VOCABULARY))
    ingest(raw, [write(tmp_path, a="Measles and cough.")])
    eventually(lambda: is_done(raw, VOCABULARY))
    assert not raw.exists(document_keys("a").edge("K1", "K3"))
    forget_documents(raw, [document_keys("a"), document_keys("b")])
    eventually(lambda: graph_of(raw) == ({}, {}))


def test_what_a_killed_worker_left_half_done_is_made_whole(raw, serve, tmp_path, eventually):
    ingest(raw, [write(tmp_path, a="Measles and fever.")])
    a, gone = document_keys("a"), document_keys("gone")
    raw.hset(a.concepts, mapping={"year": "", "0": '[["K2",0,1],["K3",0,1]]'})
    raw.zadd(a.edge("K2", "K3"), {a.sentence(0): 2})
    raw.hset(gone.concepts, mapping={"year": "", "0": '[["K1",0,1],["K2",0,1]]'})
    raw.zadd(gone.edge("K1", "K2"), {gone.sentence(0): 2})
    serve(*graph_functions(VOCABULARY))
    eventually(lambda: is_done(raw, VOCABULARY))
    assert raw.keys("keymiss:edges:*") == [a.edge("K1", "K3").encode()]


def test_another_vocabulary_takes_the_place_of_the_first(raw, serve, tmp_path, eventually):
    ingest(raw, [write(tmp_path, a="Measles and fever and sneezes.")])
    serve(*graph_functions(VOCABULARY))
    eventually(lambda: is_done(raw, VOCABULARY))
    other = Vocabulary([Concept("X1", "sneezes"), Concept("X2", "fever")])
    raw.execute_command("KEYMISS.FORGET", "links")
    raw.execute_command("KEYMISS.FORGET", "edge")
    serve(*graph_functions(other))
    eventually(lambda: is_done(raw, other))
    keys = document_keys("a")
    assert raw.keys("keymiss:edges:*") == [keys.edge("X1", "X2").encode()]


def test_lists_of_concepts_do_not_grow_without_bound(raw, serve, tmp_path, eventually):
    names = [f"concept{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(40)]
    vocabulary = Vocabulary(Concept(f"K{n:02}", name) for n, name in enumerate(names))
    serve(*graph_functions(vocabulary))
    text = " ".join(f"We saw {' '.join(names)} on day {number}." for number in range(200))
    ingest(raw, [write(tmp_path, a=text)])
    eventually(lambda: is_done(raw, vocabulary))
    keys = document_keys("a")
    record = raw.hgetall(keys.concepts)
    named = [len(json.loads(value)) for field, value in record.items() if field.isdigit()]
    assert set(named) == {15}
    assert len(named) == 10_000 // (15 * 14 // 2)
    assert raw.zcard(keys.edge("K00", "K14")) == len(named)
    assert not raw.exists(keys.edge("K00", "K15"))


TEXTS = st.lists(
    st.lists(
        st.sampled_from(["measles", "cough", "fever", "measles virus", "nothing"]), min_size=1
    ).map(lambda words: " ".join(words).capitalize() + "."),
    min_size=1,
    max_size=4,
).map(" ".join)
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), TEXTS)), max_size=12)


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_whatever_came_and_went_the_graph_is_that_of_the_final_documents(
    raw, recording, tmp_path, steps
):
    raw.flushall()
    final = {}
    for document, text in steps:
        if text is not None:
            ingest(raw, [write(tmp_path, **{document: text})])
            final[document] = text
        elif final.pop(document, None):
            forget_documents(raw, [document_keys(document)])
    wait_until(lambda: is_done(raw, VOCABULARY))
    after_all = graph_of(raw)
    raw.flushall()
    ingest(raw, [write(tmp_path, **final)])
    wait_until(lambda: is_done(raw, VOCABULARY))
    assert after_all == graph_of(raw)


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within twenty seconds"
        time.sleep(0.005)


@pytest.fixture(params=["demo", "sample"])
def articles(request, in_shared):
    return ARTICLES if request.param == "demo" else in_shared("data", "cord19-sample")


def test_articles_in_any_order_twice_with_deletions_between_give_the_same_graph(
    raw, serve, articles, tmp_path
):
    vocabulary = load_vocabulary(DEMO).vocabulary
    serve(*graph_functions(vocabulary))
    files = sorted(file for file in articles.iterdir() if file.is_file())
    ingest(raw, files)
    wait_until(lambda: is_done(raw, vocabulary))
    once = graph_of(raw)
    chance = random.Random(4)
    for _ in range(2):
        chance.shuffle(files)
        gone = [key.decode().split(":")[2] for key in once[0]]
        forget_documents(raw, [document_keys(each) for each in chance.sample(gone, 9)])
        for file in files:
            ingest(raw, [file])
    wait_until(lambda: is_done(raw, vocabulary))
    assert graph_of(raw) == once
    assert ranks(once[1]) == counted(articles, Matcher(vocabulary), vocabulary)


def ranks(edges):
    """Sentences by edge, all buckets together."""
    counts = Counter()
    for key, members in edges.items():
        _, _, source, target, _ = key.decode().split(":")
        counts[source, target] += len(members)
    return counts


def counted(articles, matcher, vocabulary):
    """The same, counted from the files."""
    counts = Counter()
    for _, reads in read_files([articles]):
        for document in reads:
            for sentence in cut_text(document.paragraphs).sentences:
                named = {vocabulary.concepts[m.concept].id for m in matcher.find(sentence)}
                counts.update(itertools.combinations(sorted(named), 2))
    return counts
