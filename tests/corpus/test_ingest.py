"""Ingest: what is stored, what is left alone, what is left out, and what it makes invalid."""

import json
import re
from pathlib import Path

import pytest
import valkey

from keymiss.corpus.corpus_key import check_corpus, create_corpus
from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.document import Document
from keymiss.corpus.document_writes import forget_documents, prepare, write_documents, write_facts
from keymiss.corpus.ingest import ingest
from keymiss.errors import SetupError, Unavailable
from keymiss.keys import document_keys


def write(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")


def test_a_document_is_a_hash_of_sentences_and_a_hash_of_facts(client, raw, tmp_path):
    write(tmp_path, "a:1.txt", "The title\n\nOne {x}.  Two: é.")
    report = ingest(raw, [tmp_path])
    assert (report.stored, report.sentences, report.problems) == (1, 3, [])
    keys = document_keys("a:1")
    assert client.hgetall(keys.sentences) == {"0": "The title", "1": "One {x}.", "2": "Two: é."}
    article = client.hgetall(keys.facts)
    assert (article["title"], article["sentences"]) == ("The title", "3")
    assert set(client.smembers(keys.bucket)) == {"a%3A1"}


def test_the_same_again_changes_nothing(client, raw, tmp_path):
    write(tmp_path, "a.txt", "One. Two.")
    ingest(raw, [tmp_path])
    before = client.info("persistence")["rdb_changes_since_last_save"]
    report = ingest(raw, [tmp_path])
    assert (report.stored, report.unchanged) == (0, 1)
    assert client.info("persistence")["rdb_changes_since_last_save"] == before


def test_a_rewritten_document_loses_its_old_sentences(client, raw, tmp_path):
    write(tmp_path, "a.txt", "One. Two. Three.")
    ingest(raw, [tmp_path])
    write(tmp_path, "a.txt", "Other.")
    assert ingest(raw, [tmp_path]).stored == 1
    assert client.hvals(document_keys("a").sentences) == ["Other."]


def test_a_broken_file_is_reported_and_stops_nothing(client, raw, tmp_path):
    write(tmp_path, "a.json", "{broken")
    write(tmp_path, "b.txt", "Fine.")
    write(tmp_path, "c.jsonl", '{"id": "c", "text": "Fine."}\n{"id": 3.5}\n')
    report = ingest(raw, [tmp_path, tmp_path / "missing.txt"])
    assert report.stored == 2
    for problem, name in zip(report.problems, ("a.json", "c.jsonl", "missing.txt"), strict=True):
        assert problem.startswith(str(tmp_path / name))


def test_an_id_that_two_files_claim_is_a_problem(client, raw, tmp_path):
    write(tmp_path, "a.md", "One.")
    write(tmp_path, "a.txt", "Two.")
    report = ingest(raw, [tmp_path])
    assert report.stored == 1
    assert "the id 'a' is taken by" in report.problems[0]


def test_an_id_that_two_lines_claim_is_a_problem(client, raw, tmp_path):
    write(tmp_path, "a.jsonl", '{"id": "a", "text": "One."}\n{"id": "a", "text": "Two."}\n')
    report = ingest(raw, [tmp_path, tmp_path / "a.jsonl"])
    assert (report.stored, len(report.problems)) == (1, 1)
    assert client.hvals(document_keys("a").sentences) == ["One."]


def test_a_key_of_another_program_is_a_problem_of_its_document_only(client, raw, tmp_path):
    write(tmp_path, "a.txt", "One.")
    write(tmp_path, "b.txt", "Two.")
    client.set(document_keys("a").bucket, "mine")
    report = ingest(raw, [tmp_path])
    assert report.stored == 1
    assert "the document 'a': the key 'keymiss:bucket:" in report.problems[0]
    assert "belongs to another program" in report.problems[0]


def test_an_id_that_is_too_long_is_a_problem(client, raw, tmp_path):
    write(tmp_path, "a.jsonl", json.dumps({"id": "x" * 600, "text": "One."}))
    assert "1 to 512 bytes" in ingest(raw, [tmp_path]).problems[0]


def test_answers_noted_with_a_document_are_dropped_when_it_is_rewritten(client, raw, tmp_path):
    write(tmp_path, "a.txt", "One.")
    ingest(raw, [tmp_path])
    keys = document_keys("a")
    client.set("keymiss:qa{x}_a:{x}:0_cached", "old")
    client.zadd(keys.answers, {"keymiss:qa{x}_a:{x}:0_cached": 9e12})
    write(tmp_path, "a.txt", "Two.")
    ingest(raw, [tmp_path])
    assert not client.exists("keymiss:qa{x}_a:{x}:0_cached", keys.answers)


def test_creating_it_again_changes_nothing(client, raw):
    create_corpus(raw)
    before = client.hgetall("keymiss:corpus")
    create_corpus(raw)
    assert client.hgetall("keymiss:corpus") == before
    assert before["buckets"] == "1024"


def test_without_a_corpus_it_says_how_to_make_one(client, raw):
    with pytest.raises(Unavailable, match="keymiss ingest PATH"):
        check_corpus(raw)


@pytest.mark.parametrize("value", ["x", "0", "16", "-1"])
def test_a_damaged_corpus_key_is_a_setup_error(client, raw, value):
    client.hset("keymiss:corpus", "buckets", value)
    with pytest.raises(SetupError, match="is damaged"):
        check_corpus(raw)


def test_a_corpus_key_of_another_program_is_left_alone(client, raw, tmp_path):
    client.set("keymiss:corpus", "mine")
    with pytest.raises(SetupError, match="belongs to another program"):
        ingest(raw, [tmp_path])
    assert client.get("keymiss:corpus") == "mine"


def test_the_documented_rights_suffice(server, client, raw, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    rights = re.search(r"^\| ingest \| `([^`]+)`", page, re.MULTILINE)[1].split()
    raw.execute_command("ACL", "SETUSER", "ingest", "reset", "on", ">p", *rights)
    try:
        with valkey.Valkey(port=server.port, username="ingest", password="p") as limited:
            write(tmp_path, "a.txt", "One.")
            ingest(limited, [tmp_path])
            keys = document_keys("a")
            for change in (
                lambda: ingest(limited, [tmp_path]),
                lambda: forget_documents(limited, [keys]),
            ):
                client.set("keymiss:qa{x}_a:{x}:0_cached", "old")
                client.zadd(keys.answers, {"keymiss:qa{x}_a:{x}:0_cached": 9e12})
                write(tmp_path, "a.txt", "Two.")
                change()
                assert not client.exists("keymiss:qa{x}_a:{x}:0_cached")
            assert client.keys("*") == ["keymiss:corpus"]
    finally:
        raw.execute_command("ACL", "DELUSER", "ingest")


def test_the_demo_articles_are_ingested_without_a_problem(raw):
    report = ingest(raw, [ARTICLES])
    assert (report.stored, report.problems) == (20, [])
    assert report.sentences > 400


OLD = {"buckets": "1024", "splitter": "tokenizesentences-0.5.1", "created": "1790000000"}


def test_a_corpus_under_the_old_names_is_recognised_and_refused(client, raw, tmp_path):
    client.hset("corpus", mapping=OLD)
    client.hset("article_id:a:{0}", "title", "Old")
    before = {key: client.dump(key) for key in ("corpus", "article_id:a:{0}")}
    with pytest.raises(Unavailable, match="names that keymiss does not read; ingest it again"):
        check_corpus(raw)
    # And so it is: beside the old one, which stays as it is.
    write(tmp_path, "a.txt", "One.")
    assert ingest(raw, [tmp_path]).stored == 1
    check_corpus(raw)
    assert {key: client.dump(key) for key in before} == before


@pytest.mark.parametrize(
    "plant",
    [
        lambda c: c.set("corpus", "mine"),
        lambda c: c.hset("corpus", "buckets", "3"),
        lambda c: c.hset("corpus", mapping={**OLD, "splitter": "mine"}),
    ],
)
def test_a_key_corpus_of_another_program_is_not_an_old_corpus(client, raw, plant):
    plant(client)
    with pytest.raises(Unavailable, match="no corpus yet"):
        check_corpus(raw)


def test_a_document_whose_sentences_are_damaged_is_stored_again(client, raw, tmp_path):
    write(tmp_path, "a.txt", "One. Two.")
    ingest(raw, [tmp_path])
    for damage in (lambda k: client.delete(k.sentences), lambda k: client.hdel(k.sentences, "1")):
        damage(document_keys("a"))
        assert ingest(raw, [tmp_path]).stored == 1
        assert client.hvals(document_keys("a").sentences) == ["One.", "Two."]


def test_new_facts_of_a_document_that_has_gone_meanwhile_store_it_whole(client, raw, tmp_path):
    write(tmp_path, "a.txt", "One. Two.")
    ingest(raw, [tmp_path])
    keys = document_keys("a")
    before = client.hgetall(keys.facts), client.hgetall(keys.sentences)
    prepared = prepare(Document("a", "One. Two.", ("One. Two.",)))
    forget_documents(raw, [keys])
    assert write_facts(raw, [prepared]) == [None]
    assert (client.hgetall(keys.facts), client.hgetall(keys.sentences)) == before


def test_a_key_of_another_type_is_never_written_over(client, raw, tmp_path):
    write(tmp_path, "a.txt", "One. Two.")
    keys = document_keys("a")
    for key in (keys.facts, keys.sentences):
        client.flushall()
        client.set(key, "mine")
        # Also when it comes between the look and the writing.
        (error,) = write_documents(raw, [prepare(Document("a", "T", ("One.",)))])
        assert "WRONGTYPE" in str(error)
        assert client.get(key) == "mine"
        assert "belongs to another program" in ingest(raw, [tmp_path]).problems[0]
        forget_documents(raw, [keys])
        assert client.get(key) == "mine"
