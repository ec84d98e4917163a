"""Planted damage is found, named and mended; a sound corpus is left alone."""

import time

import pytest

from keymiss.corpus import verify as verifying
from keymiss.corpus.ingest import ingest
from keymiss.corpus.verify import repair, verify
from keymiss.errors import Unavailable
from keymiss.keys import PARAGRAPHS, TEXT_HASH, bertqa_key, document_keys, qa_key


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(verifying, "LOOK_AGAIN_SECONDS", 0)


@pytest.fixture
def keys(raw, tmp_path):
    """A document with tokens and a cached answer, and another one."""
    (tmp_path / "a.txt").write_text("One. Two. Three.", encoding="utf-8")
    (tmp_path / "b:é.txt").write_text("Other.", encoding="utf-8")
    ingest(raw, [tmp_path])
    keys = document_keys("a")
    of_text = raw.hget(keys.facts, TEXT_HASH)
    raw.hset(keys.tokens("f00d"), mapping={TEXT_HASH: of_text, 0: b"1", 1: b"2", 2: b"3"})
    raw.set(answer(keys), "One")
    raw.zadd(keys.answers, {answer(keys): 9e12})
    return keys


def answer(keys, question="What?"):
    return qa_key(keys.sentence(0), question)


GONE = document_keys("gone")

PLANTED = {
    "a sentence is missing": lambda c, k: c.hdel(k.sentences, "1"),
    "a sentence too many": lambda c, k: c.hset(k.sentences, "7", "Seven."),
    "no sentences": lambda c, k: c.delete(k.sentences),
    "no article": lambda c, k: c.delete(k.facts),
    "no hash": lambda c, k: c.hdel(k.facts, TEXT_HASH),
    "no paragraphs": lambda c, k: c.hdel(k.facts, PARAGRAPHS),
    "paragraphs that begin nowhere": lambda c, k: c.hset(k.facts, PARAGRAPHS, "0 2 99"),
    "facts of another type": lambda c, k: (c.delete(k.facts), c.set(k.facts, "x")),
    "not in its bucket's set": lambda c, k: c.srem(k.bucket, k.document),
    "the set names what is gone": lambda c, k: c.sadd(k.bucket, "gone"),
    "tokens of another text": lambda c, k: c.hset(k.tokens("f00d"), TEXT_HASH, "old"),
    "tokens of some sentences": lambda c, k: c.hdel(k.tokens("f00d"), "1"),
    "tokens of what is gone": lambda c, k: c.hset(GONE.tokens("f00d"), TEXT_HASH, "x"),
    "notes of what is gone": lambda c, k: c.zadd(GONE.answers, {"x": 1}),
    "sentences of what is gone": lambda c, k: c.hset(GONE.sentences, "0", "x"),
    "an answer of what is gone": lambda c, k: c.set(bertqa_key(GONE.sentence(3), "What?"), "x"),
    "an answer that is not noted": lambda c, k: c.set(answer(k, "Not noted?"), "x"),
}


def test_a_sound_corpus_has_no_damage(raw, keys):
    assert verify(raw) == []


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_planted_damage_is_found_and_mended(raw, keys, plant):
    plant(raw, keys)
    damages = verify(raw)
    assert damages
    repair(raw, damages)
    assert verify(raw) == []


def test_mending_leaves_other_documents_alone(raw, keys):
    raw.hdel(keys.sentences, "1")
    repair(raw, verify(raw))
    assert not raw.exists(keys.facts, keys.sentences, keys.tokens("f00d"), answer(keys))
    assert raw.exists(document_keys("b:é").facts)


def test_what_is_whole_again_at_a_second_look_is_not_damaged(raw, keys, monkeypatch):
    text = raw.hget(keys.sentences, "1")
    raw.hdel(keys.sentences, "1")
    monkeypatch.setattr(time, "sleep", lambda _: raw.hset(keys.sentences, "1", text))
    assert verify(raw) == []


def test_without_a_corpus_there_is_nothing_to_verify(raw):
    with pytest.raises(Unavailable):
        verify(raw)


@pytest.mark.parametrize(
    "plant",
    [
        lambda c: c.set("sentence:x", "y"),
        lambda c: c.hset("documents:1", "text", "x"),
        lambda c: c.set("keymiss:sentences:x", "y"),
        lambda c: c.zadd("keymiss:answers:17", {"a": 1}),
        lambda c: c.hset("keymiss:document:a:{0}", "title", "not the bucket of a"),
        lambda c: c.set(document_keys("gone").sentences, "of another type"),
        lambda c: c.set("bertqa{mine}:7", "x"),
    ],
)
def test_what_others_have_written_is_no_damage_and_stays(raw, keys, plant):
    plant(raw)
    before = {key: raw.dump(key) for key in raw.scan_iter()}
    damages = verify(raw)
    assert damages == []
    repair(raw, damages)
    assert {key: raw.dump(key) for key in raw.scan_iter()} == before
