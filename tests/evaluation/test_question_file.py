"""Questions with their answers, from files that people write."""

import json

import pytest

from keymiss.errors import BadInput
from keymiss.evaluation.question_file import ExpectedAnswer, load_expected


def load(tmp_path, text):
    path = tmp_path / "questions"
    path.write_text(text)
    return load_expected(path)


def test_json_lines_name_answers_and_documents(tmp_path):
    lines = [
        {"question": "Who?", "answers": ["Ada", "Ada Byron"], "document": "notes"},
        {"question": "When?", "answer": "1843"},
        {"question": "Why?", "answers": []},
        {"question": "How?", "answers": [" "], "kind": "other fields do not matter"},
    ]
    assert load(tmp_path, "\n\n".join(map(json.dumps, lines))) == [
        ExpectedAnswer("Who?", ("Ada", "Ada Byron"), "notes"),
        ExpectedAnswer("When?", ("1843",)),
        ExpectedAnswer("Why?", ()),
        ExpectedAnswer("How?", ()),
    ]


def test_one_line_is_a_file_too(tmp_path):
    assert load(tmp_path, '{"question": "Who?", "answer": "Ada"}\n')[0].answers == ("Ada",)


def test_squads_format_has_questions_that_nothing_answers(tmp_path):
    asked = [
        {"question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]},
        {"question": "Why?", "answers": [], "is_impossible": True},
    ]
    squad = {"data": [{"paragraphs": [{"context": "Ada wrote it.", "qas": asked}]}]}
    assert load(tmp_path, json.dumps(squad)) == [
        ExpectedAnswer("Who?", ("Ada",)),
        ExpectedAnswer("Why?", ()),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no question"),
        ("\n \n", "has no question"),
        ('{"question": "Who?"}\nWho?', "line 2: write"),
        ('{"question": 7, "answers": []}', "line 1: write"),
        ('{"question": "Who?", "answers": [7]}', "line 1: write"),
        ('{"question": "Who?", "answers": [], "document": 7}', "line 1: write"),
        ('["Who?"]', "line 1: write"),
        ('{"data": 7}', "not in SQuAD's format"),
        ('{"data": [{"title": "x"}]}', "not in SQuAD's format"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        load(tmp_path, text)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(BadInput, match="nowhere cannot be read"):
        load_expected(tmp_path / "nowhere")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="bytes cannot be read"):
        load_expected(tmp_path / "bytes")
