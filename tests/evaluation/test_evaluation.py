"""Exact match and F1 as SQuAD defines them."""

import pytest

from keymiss.evaluation.answer_scores import exact, f1, score, score_refusals


@pytest.mark.parametrize(
    ("answer", "expected", "same", "overlap"),
    [
        ("The Bats.", "bats", True, 1),
        ("two hours", "up to two hours", False, 2 / 3),
        ("", "", True, 1),
        ("", "x", False, 0),
        ("a b c d", "c d e f", False, 4 / 7),
        ("SARS-CoV-2", "sarscov2", True, 1),
    ],
)
def test_single_answers(answer, expected, same, overlap):
    assert exact(answer, expected) is same
    assert f1(answer, expected) == pytest.approx(overlap)


def test_scores_count_first_and_first_five():
    results = [(["x", "bats"], "bats"), (["bats"], "bats"), ([], "bats"), (["a"] * 5 + ["b"], "b")]
    scores = score(results)
    assert (scores.questions, scores.first, scores.first_five) == (4, 1, 2)
    assert (scores.exact, scores.f1) == (25.0, 25.0)


def test_refusals_have_precision_and_recall():
    refusals = score_refusals([False, False, True], [True, True, False, False])
    assert (refusals.unanswerable, refusals.precision, refusals.recall) == (4, 66.7, 50.0)
    assert score_refusals([], []).recall == 0
