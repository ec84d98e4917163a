"""Documents from files: four formats, text kept, and errors that stand where a document would."""

import json

import pytest

from keymiss.corpus.document import Document
from keymiss.corpus.file_formats import MAX_LINE_BYTES, find_files, read_file
from keymiss.errors import BadInput


def read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_file(path, path.stem))


def test_cord19_json(tmp_path):
    article = {
        "paper_id": "PMC1",
        "metadata": {"title": "A title", "year": 2003},
        "abstract": [{"text": "In short."}],
        "body_text": [{"text": "First.", "section": "Intro"}, {"text": ""}, {"text": "Second."}],
    }
    assert read(tmp_path, "a.json", json.dumps(article)) == [
        Document("PMC1", "A title", ("In short.", "First.", "Second."), "2003")
    ]


def test_the_sample_articles_are_all_read(in_shared):
    files = list(find_files([in_shared("data", "cord19-sample")]))
    documents = [document for file in files for document in read_file(*file)]
    assert len(documents) == 22
    assert all(isinstance(document, Document) for document in documents)


def test_json_lines_may_be_broken_one_by_one(tmp_path):
    lines = [
        b'{"id": "a", "title": "A", "text": "One.\\n\\nTwo.", "year": "1999"}',
        b"{broken",
        b"",
        b"[1, 2]",
        b'{"id": "b", "text": 7}',
        b'{"id": "c", "text": "\\ud800"}',
        b'{"id": "d", "text": "  "}',
        b"\xff\xfe",
        b'{"text": "No id."}',
    ]
    found = read(tmp_path, "many.jsonl", b"\n".join(lines))
    assert found[0] == Document("a", "A", ("One.", "Two."), "1999")
    problems = [str(each) for each in found[1:-1]]
    expected = ["is not JSON", "not list", "'text' is int", "surrogate", "has no text", "not UTF-8"]
    assert len(problems) == len(expected)
    for problem, words in zip(problems, expected, strict=True):
        assert words in problem
    assert [p.split("line ")[1].split(":")[0] for p in problems] == ["2", "4", "5", "6", "7", "8"]
    assert found[-1] == Document("many-9", "many-9", ("No id.",))


def test_a_line_that_is_too_long_does_not_stop_the_next(tmp_path):
    long = b'{"id": "a", "text": "' + b"x" * MAX_LINE_BYTES + b'"}'
    first, second = read(tmp_path, "long.jsonl", long + b'\n{"id": "b", "text": "Fine."}')
    assert "more than" in str(first)
    assert second == Document("b", "b", ("Fine.",))


def test_markdown_is_read_as_a_page_would_show_it(tmp_path):
    text = """---
title: The title
year: 2026
source: "A book: the second edition"
---
# A heading

Some *emphasis*, a [link](http://example.org) and `code`,
wrapped.

- an item
- another

| a | b |
|---|---|
| c | d |

<!-- not this -->
"""
    assert read(tmp_path, "page.md", text) == [
        Document(
            "page",
            "The title",
            (
                "Some emphasis, a link and code, wrapped.",
                *("an item", "another", "a", "b", "c", "d"),
            ),
            "2026",
            "A book: the second edition",
        )
    ]


def test_markdown_without_front_matter_is_titled_by_its_first_heading(tmp_path):
    (document,) = read(tmp_path, "page.md", "# One\n\nText.\n\n## Two\n")
    assert (document.title, document.paragraphs) == ("One", ("Text.",))


@pytest.mark.parametrize(
    ("front_matter", "title", "year"),
    [
        ("", "One", ""),
        ("title: 1984\nyear: 1949\n", "1984", "1949"),
        ("title: On\nyear: 2020-05-01\ndate: 2020-13-45\n", "On", "2020-05-01"),
        ("title: null\nyear: ~\nsource:\n", "One", ""),
    ],
)
def test_front_matter_is_text_whatever_it_looks_like(tmp_path, front_matter, title, year):
    (document,) = read(tmp_path, "page.md", f"---\n{front_matter}---\n# One\n\nText.\n")
    assert (document.title, document.year) == (title, year)


def test_plain_text_is_kept_as_it_is(tmp_path):
    (document,) = read(
        tmp_path, "a.txt", "\ufeffTitle\r\n\r\n  Some\ttext,\n  wrapped. \n\n\nMore."
    )
    assert document.title == "Title"
    assert document.paragraphs == ("Title", "Some\ttext,\n  wrapped. ", "More.")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", "is not JSON"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", b"\x80\x81", "cannot be read"),
        ("a.json", b"[]", "a JSON object is needed"),
        ("a.json", b"{}", "is this CORD-19 JSON"),
        ("a.json", b'{"body_text": ["x"]}', "is this CORD-19 JSON"),
        ("a.json", b'{"body_text": [{"text": {}}]}', "'body_text.text' is dict"),
        ("a.json", b'{"body_text": [], "paper_id": "p"}', "'p' has no text"),
        ("a.json", b'{"body_text": [{"text": "x"}], "metadata": 3}', "'metadata' is not an object"),
        ("a.md", b"", "has no text"),
        ("a.md", b"---\na: [\n---\ntext", "not YAML"),
        ("a.md", b"---\ntitle: [x]\n---\ntext", "'title' is list"),
        ("a.md", b"---\njust text\n---\ntext", "has no fields"),
        ("a.md", b"---\ntitle: " + b"[" * 3000 + b"\n---\ntext", "not YAML"),
        ("a.txt", b" \n\n ", "has no text"),
        ("a.pdf", b"%PDF", "the ending is not one of"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_files_name(tmp_path, name, content, message):
    (problem,) = read(tmp_path, name, content)
    assert isinstance(problem, BadInput)
    assert name in str(problem)
    assert message in str(problem)


def test_a_missing_file_is_a_problem_not_a_crash(tmp_path):
    (problem,) = read_file(tmp_path / "none.txt", "none")
    assert "there is no such file or folder" in str(problem)


def test_files_are_found_below_folders_and_named_by_their_path(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("sub/b.md", "a.txt", "ignored.pdf"):
        (tmp_path / name).write_text("x")
    assert [(p.name, id) for p, id in find_files([tmp_path])] == [("a.txt", "a"), ("b.md", "sub/b")]
