"""A corpus goes out as JSON lines and comes in again as it was: the same keys, the same hashes."""

import json

import pytest
import valkey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keymiss.corpus.corpus_export import export_corpus
from keymiss.corpus.demo import ARTICLES
from keymiss.corpus.ingest import ingest, ingest_sources
from keymiss.corpus.key_documents import KeyPattern, scan_keys
from keymiss.corpus.verify import verify
from keymiss.errors import SetupError, Unavailable
from keymiss.keys import SENTENCE_COUNT, document_keys
from keymiss.server.embedded_server import EmbeddedServer, free_port


def keys_of(raw):
    """All keys of documents with what they hold."""
    reading = {b"hash": raw.hgetall, b"set": raw.smembers}
    found = {key: reading[raw.type(key)](key) for key in raw.scan_iter("keymiss:*")}
    found.pop(b"keymiss:corpus")  # it says when it was created
    return found


def there_and_back(raw, folder):
    """Exports, empties the server, ingests; returns what was exported."""
    before = keys_of(raw)
    exported = export_corpus(raw, folder / "corpus.jsonl")
    raw.flushall()
    report = ingest(raw, [folder / "corpus.jsonl"])
    assert (report.stored, report.problems) == (exported.documents, [])
    assert keys_of(raw) == before
    return exported


def test_the_demo_articles_come_back_as_they_were(raw, tmp_path):
    ingest(raw, [ARTICLES])
    exported = there_and_back(raw, tmp_path)
    assert (exported.documents, exported.problems) == (20, [])
    assert ingest(raw, [ARTICLES]).unchanged == 20


def test_ids_titles_years_sources_and_keys_come_back(raw, tmp_path):
    lines = [
        {
            "id": "a:1 {x}%",
            "title": "T",
            "year": 1854,
            "source": "S",
            "text": "One. Two.\n\nThree.",
        },
        {"id": "é", "text": 'Say "x"\tand\\.\n\n\n\nMore, \u2028 and more.'},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ingest(raw, [tmp_path / "in.jsonl"])
    raw.hset("note:7", mapping={"body": "A note.", "title": "N"})
    ingest_sources(raw, lambda: scan_keys(raw, KeyPattern("note:", "body")))
    raw.delete("note:7")
    exported = there_and_back(raw, tmp_path)
    assert exported.documents == 3
    assert raw.hget(document_keys("note:7").facts, "key") == b"note:7"


paragraphs = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(paragraphs.map("\n\n".join), min_size=1, max_size=4))
def test_any_text_comes_back(raw, tmp_path, texts):
    raw.flushall()
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    ingest(raw, [tmp_path / "in.jsonl"])
    there_and_back(raw, tmp_path)
    assert verify(raw) == []


def test_another_server_gets_the_same_keys(raw, tmp_path):
    ingest(raw, [ARTICLES])
    export_corpus(raw, tmp_path / "corpus.jsonl")
    with EmbeddedServer(tmp_path / "other", free_port()) as other:
        with valkey.Valkey(port=other.port) as there:
            ingest(there, [tmp_path / "corpus.jsonl"])
            assert keys_of(there) == keys_of(raw)


def test_paragraphs_are_lists_of_sentences(raw, tmp_path):
    (tmp_path / "a.txt").write_text("One. Two.\n\nThree.")
    ingest(raw, [tmp_path / "a.txt"])
    export_corpus(raw, tmp_path / "corpus.jsonl")
    (line,) = (tmp_path / "corpus.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "id": "a",
        "title": "One. Two.",
        "paragraphs": [["One.", "Two."], ["Three."]],
    }


def test_a_document_that_is_not_whole_is_reported_and_stops_nothing(raw, tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.txt").write_text("One. Two.")
    ingest(raw, [tmp_path])
    raw.hdel(document_keys("a").sentences, "1")
    raw.hdel(document_keys("b").facts, SENTENCE_COUNT)
    exported = export_corpus(raw, tmp_path / "corpus.jsonl")
    assert exported.documents == 1
    assert [problem.partition(":")[0] for problem in exported.problems] == ["a", "b"]


def test_what_cannot_be_written_to_is_said_and_leaves_nothing(raw, tmp_path):
    ingest(raw, [ARTICLES])
    with pytest.raises(SetupError, match=r"does not end with \.jsonl"):
        export_corpus(raw, tmp_path / "corpus.json")
    with pytest.raises(SetupError, match="cannot be written"):
        export_corpus(raw, tmp_path / "nowhere" / "corpus.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_without_a_corpus_there_is_nothing_to_export(raw, tmp_path):
    with pytest.raises(Unavailable):
        export_corpus(raw, tmp_path / "corpus.jsonl")


@pytest.mark.parametrize(
    ("paragraphs", "wrong"),
    [
        ("text", "not a list of lists"),
        (["text"], "not a list of lists"),
        ([["One."], None], "not a list of lists"),
        ([["One.", 2]], "text is needed"),
        ([["One.", " "]], "a sentence without text"),
        ([], "has no text"),
        ([[]], "has no text"),
        ([["\ud800"]], "half a surrogate pair"),
    ],
)
def test_lines_of_another_shape_are_reported(raw, tmp_path, paragraphs, wrong):
    line = json.dumps({"id": "a", "paragraphs": paragraphs})
    (tmp_path / "a.jsonl").write_text(line + '\n{"id": "b", "paragraphs": [["Fine."]]}\n')
    report = ingest(raw, [tmp_path / "a.jsonl"])
    assert (report.stored, len(report.problems)) == (1, 1)
    assert wrong in report.problems[0]
