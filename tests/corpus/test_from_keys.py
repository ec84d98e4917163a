"""Documents from the hashes and strings of other programs: what is taken, and what is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymiss.corpus import key_documents
from keymiss.corpus.ingest import ingest_sources
from keymiss.corpus.key_documents import KeyPattern, parse_keys, read_keys, scan_keys
from keymiss.errors import SetupError
from keymiss.keys import document_keys


def stored(client, raw, key):
    keys = document_keys(key)
    return client.hgetall(keys.facts), client.hvals(keys.sentences)


def test_a_hash_is_a_document_whose_id_is_its_key(client, raw):
    facts = {"title": "Of one", "year": "1897", "source": "a book", "other": "x"}
    client.hset("doc:1", mapping={"body": "One. Two.\n\nThree.", **facts})
    report = ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("doc:", "body")))
    assert (report.stored, report.sentences, report.problems) == (1, 3, [])
    article, sentences = stored(client, raw, "doc:1")
    assert sentences == ["One.", "Two.", "Three."]
    assert {name: article[name] for name in ("title", "year", "source", "key")} == {
        "title": "Of one",
        "year": "1897",
        "source": "a book",
        "key": "doc:1",
    }


def test_a_string_is_a_document_titled_by_its_first_line(client, raw):
    client.set("note:a", "The title\n\nOne. Two.")
    assert ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("note:"))).stored == 1
    article, sentences = stored(client, raw, "note:a")
    assert (article["title"], sentences) == ("The title", ["The title", "One.", "Two."])


def test_the_same_again_is_left_alone(client, raw):
    client.set("note:a", "One.")
    ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("note:")))
    report = ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("note:")))
    assert (report.stored, report.unchanged) == (0, 1)


def test_what_is_no_document_is_reported_and_stops_nothing(client, raw, monkeypatch):
    monkeypatch.setattr(key_documents, "MAX_VALUE_BYTES", 100)
    client.hset("doc:good", "body", "One.")
    client.hset("doc:other-field", "text", "One.")
    client.hset("doc:blank", "body", " \n")
    client.hset("doc:long", "body", "x" * 101)
    client.set("doc:string", "One.")
    raw.hset("doc:bytes", "body", b"\xff\xfe")
    raw.hset(b"doc:\xff", "body", "One.")
    client.hset("doc:" + "x" * 600, "body", "One.")
    report = ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("doc:", "body")))
    assert report.stored == 1
    problems = dict(problem.split(": ", 1) for problem in report.problems)
    assert problems["doc:other-field"] == "has no field 'body'"
    assert problems["doc:blank"] == "the document 'doc:blank' has no text"
    assert problems["doc:long"] == "the text has 101 bytes; the limit is 100"
    assert problems["doc:string"].startswith(
        "cannot be read as a hash with the field 'body': WRONGTYPE"
    )
    assert problems["doc:bytes"].startswith("is not UTF-8")
    assert problems["doc:�"].startswith("is not UTF-8")
    assert problems["doc:" + "x" * 600].startswith("a document's id has 1 to 512 bytes")
    assert len(problems) == 7


def test_a_hash_is_no_string(client, raw):
    client.hset("note:a", "body", "One.")
    (problem,) = ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("note:"))).problems
    assert problem.startswith("note:a: cannot be read as a string: WRONGTYPE")


def test_keys_of_keymiss_itself_are_no_texts(client, raw):
    client.set("note:a", "One.")
    ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("note:")))
    assert list(scan_keys(raw, KeyPattern("keymiss:sentences:", "0"))) == []
    assert [source for source, _ in scan_keys(raw, KeyPattern(""))] == ["note:a"]


def test_a_key_that_is_gone_is_a_source_without_a_document(raw):
    assert [
        (source, list(reads)) for source, reads in read_keys(raw, KeyPattern("n:"), [b"n:a"])
    ] == [("n:a", [])]


def test_many_keys_are_read_in_batches(client, raw):
    count = 2 * key_documents.KEYS_AT_ONCE + 1
    client.mset({f"note:{number}": "One." for number in range(count)})
    assert ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("note:"))).stored == count


@pytest.mark.parametrize("pattern", ["doc:", "doc:*:x", "d?c:*", "[d]oc:*", "doc\\:*", ""])
def test_only_a_prefix_with_a_star_is_a_pattern(pattern):
    with pytest.raises(SetupError, match="a star after it"):
        parse_keys(pattern)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_every_key_of_a_document_is_recognised_as_our_own(id):
    keys = document_keys(id)
    for key in (keys.facts, keys.sentences, keys.answers, keys.bucket, keys.tokens("f")):
        assert key not in KeyPattern("")


@pytest.mark.parametrize("pattern", ["keymiss:*", "keymiss:document:*"])
def test_our_own_keys_are_refused_by_name(pattern):
    with pytest.raises(SetupError, match="begin with 'keymiss:' are keymiss's own"):
        parse_keys(pattern)


@pytest.mark.parametrize("prefix", ["documents:", "sentence:", "answers:", "qa{", "corpus"])
def test_words_that_keymiss_once_used_are_taken(client, raw, prefix):
    client.hset(f"{prefix}1", mapping={"title": "Scurvy", "text": "Lemons were given in 1747."})
    report = ingest_sources(raw, lambda: scan_keys(raw, parse_keys(f"{prefix}*", "text")))
    assert (report.stored, report.problems) == (1, [])


def test_a_prefix_that_ours_has_too_takes_what_is_not_ours(client, raw):
    client.hset("key:1", mapping={"text": "Lemons were given in 1747."})
    client.hset("keymiss:document:x", mapping={"text": "Not a document."})
    report = ingest_sources(raw, lambda: scan_keys(raw, parse_keys("key*", "text")))
    assert (report.stored, report.problems) == (1, [])
