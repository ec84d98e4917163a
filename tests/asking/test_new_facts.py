"""A new title, year or source leaves all that was made of the text as it is."""

import json

import pytest

from keymiss.answering.tokens_function import tokens_function
from keymiss.corpus.ingest import ingest
from keymiss.graph.graph_functions import graph_functions
from keymiss.graph.vocabulary import Concept, Vocabulary
from keymiss.keys import FACTS_HASH, TEXT_HASH, document_keys, edge_key, find_key, qa_key
from keymiss.reader import BUNDLED_FOLDER, Tokenizer
from keymiss.search.search_functions import search_functions

TOKENIZER = Tokenizer(BUNDLED_FOLDER)
VOCABULARY = Vocabulary([Concept("K1", "measles"), Concept("K2", "cough")])
KEYS = document_keys("a")
FACTS = {"id": "a", "title": "Old", "year": 1900, "source": "S", "text": "Measles and a cough."}


def write(folder, **facts):
    (folder / "a.jsonl").write_text(json.dumps({**FACTS, **facts}))
    return [folder / "a.jsonl"]


@pytest.fixture
def stored(raw, serve, tmp_path, eventually):
    """A document with tokens, concepts, an index entry and a cached answer."""
    serve(*search_functions(), tokens_function(TOKENIZER), *graph_functions(VOCABULARY))
    ingest(raw, write(tmp_path))
    eventually(lambda: raw.exists(KEYS.tokens(TOKENIZER.fingerprint)))
    eventually(lambda: raw.hget(KEYS.concepts, "of"))
    eventually(lambda: years(raw) == {"1900": 1})
    eventually(lambda: json.loads(raw.get(find_key("06S", "measles")))["candidates"])
    answer = qa_key(KEYS.sentence(0), "What?")
    raw.set(answer, "cached")
    raw.zadd(KEYS.answers, {answer: 9e12})
    return answer


def years(raw):
    return json.loads(raw.get(edge_key("06S", "K1", "K2")))["years"]


@pytest.mark.parametrize("facts", [{"title": "New"}, {"year": 1901}, {"source": "T"}])
def test_text_tokens_answers_and_index_entries_stay(raw, stored, tmp_path, eventually, facts):
    before = {key: raw.dump(key) for key in raw.scan_iter() if key != KEYS.facts.encode()}
    hashes = raw.hmget(KEYS.facts, TEXT_HASH, FACTS_HASH)
    report = ingest(raw, write(tmp_path, **facts))
    assert (report.stored, report.renamed, report.unchanged) == (0, 1, 0)
    ((name, value),) = facts.items()
    assert raw.hget(KEYS.facts, name) == str(value).encode()
    after = raw.hmget(KEYS.facts, TEXT_HASH, FACTS_HASH)
    assert (after[0], after[1] != hashes[1]) == (hashes[0], True)
    eventually(lambda: raw.info("keymiss")["keymiss_pending"] == 0)
    now = {key: raw.dump(key) for key in raw.scan_iter() if key != KEYS.facts.encode()}
    changed = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
    assert changed <= {KEYS.concepts.encode()}
    assert raw.get(stored) == b"cached"
    assert ingest(raw, write(tmp_path, **facts)).unchanged == 1


def test_the_graph_takes_a_new_year(raw, stored, tmp_path, eventually):
    edge = raw.zrange(KEYS.edge("K1", "K2"), 0, -1, withscores=True)
    ingest(raw, write(tmp_path, year=1950))
    eventually(lambda: raw.hget(KEYS.concepts, "year") == b"1950")
    eventually(lambda: years(raw) == {"1950": 1})
    assert raw.zrange(KEYS.edge("K1", "K2"), 0, -1, withscores=True) == edge
    ingest(raw, write(tmp_path, year=None))
    eventually(lambda: years(raw) == {"0": 1})


def test_a_new_text_drops_the_answers(raw, stored, tmp_path):
    report = ingest(raw, write(tmp_path, text="Measles, and no cough."))
    assert (report.stored, report.renamed) == (1, 0)
    assert not raw.exists(stored)


def test_a_paragraph_that_ends_elsewhere_is_another_text(raw, stored, tmp_path):
    ingest(raw, write(tmp_path, text="One. Two."))
    report = ingest(raw, write(tmp_path, text="One.\n\nTwo."))
    assert (report.stored, report.renamed) == (1, 0)
