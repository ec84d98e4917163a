"""Where answers are lost, over the whole path: questions of a file about one's own documents."""

import json
import subprocess
import sys

import pytest

from keymiss.evaluation.corpus_evaluation import Judged, QuestionOutcome, score_corpus

NOTES = [f"Ada Byron wrote the notes number {number}." for number in range(12)]
DOCUMENTS = {
    "notes": " ".join(["Ada Byron wrote the notes.", *NOTES]),
    "ink": "The ink of the notes was purple, which a museum found out in a long and costly study.",
    "whales": "Whales sing in winter. The songs of whales travel for hundreds of kilometres.",
}
WHO = "Who wrote the notes?"
ASKED = [
    ({"question": WHO, "answers": ["Ada Byron"], "document": "notes"}, QuestionOutcome.RIGHT),
    ({"question": "When do whales sing?", "answer": "winter"}, QuestionOutcome.RIGHT),
    ({"question": "Where is the moon?", "answers": ["winter"]}, QuestionOutcome.NOT_FOUND),
    ({"question": WHO, "answers": ["a long and costly study"]}, QuestionOutcome.NOT_READ),
    (
        {"question": "Who sings in the museum in winter?", "answer": "purple"},
        QuestionOutcome.NOT_CHOSEN,
    ),
    ({"question": "What sings in winter?", "answers": ["kilometres"]}, QuestionOutcome.CUT_WRONGLY),
    ({"question": "What do whales sing?", "answers": ["Ada Byron"]}, QuestionOutcome.NOT_FOUND),
    ({"question": WHO, "answers": []}, QuestionOutcome.ANSWERED),
    ({"question": "Where is the moon?", "answers": []}, QuestionOutcome.REFUSED),
    ({"question": " ", "answers": ["Ada Byron"]}, QuestionOutcome.BAD_QUESTION),
]


def keymiss(*arguments):
    command = [sys.executable, "-m", "keymiss", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def evaluated(word_stack, tmp_path):
    """What `keymiss eval FILE` prints over the documents, with these options."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / f"{name}.txt").write_text(text)
    done = keymiss("ingest", "--url", word_stack.url, *folder.iterdir())
    assert done.returncode == 0, done.stderr

    def run(asked, *options):
        path = tmp_path / "questions.jsonl"
        path.write_text("\n".join(map(json.dumps, asked)))
        done = keymiss("eval", path, "--url", word_stack.url, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_each_question_says_where_its_answer_was_lost(evaluated):
    asked = [question for question, _ in ASKED]
    printed = json.loads(evaluated(asked, "--json", "--effort", "low"))
    outcomes = [(one["question"], one["outcome"]) for one in printed["each"]]
    assert outcomes == [(one["question"], outcome.value) for one, outcome in ASKED]
    assert printed["questions"] == 8
    assert (printed["refused"], printed["answered"]) == (1, 1)
    assert printed["document_among_five"] == {"percent": 100.0, "low": 100.0, "high": 100.0}
    assert printed["right_first"]["percent"] == 25.0
    table = evaluated(asked, "--effort", "low")
    assert "8 questions with an answer\n  right first                 25.0 %" in table
    assert "  found, not read                1\n" in table
    assert "2 questions that nothing answers\n  refused                        1\n" in table


def test_a_file_or_the_demo_is_evaluated():
    for arguments in ((), ("questions.jsonl", "--demo")):
        done = keymiss("eval", *arguments)
        assert done.returncode == 1
        assert "name a file with questions and their answers, or say --demo" in done.stderr


def judged(outcome, f1=0.0):
    return Judged("?", ("a",), outcome, "", "", f1, outcome is QuestionOutcome.RIGHT, None)


def test_intervals_hold_what_other_draws_of_questions_would_give():
    half = [judged(QuestionOutcome.RIGHT, 1.0), judged(QuestionOutcome.NOT_FOUND)] * 50
    scores = score_corpus(half)
    assert scores.right_first.percent == scores.f1.percent == 50.0
    # The standard deviation of a mean of a hundred such values is five.
    assert 38 <= scores.right_first.low <= 42
    assert 58 <= scores.right_first.high <= 62
    assert scores.document_among_five is None
    assert score_corpus([]).right_first.percent == 0
