"""Scores answers: exact match and F1 as SQuAD defines them (Rajpurkar et al. 2016)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

RIGHT_F1 = 0.6
"""The F1 from which an answer counts as right: most of its words are those of the expected one."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise_answer(text: str) -> str:
    """The text in lower case, without punctuation, articles and surplus white space."""
    letters = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", letters).split())


def exact(answer: str, expected: str) -> bool:
    """Whether both texts are the same when they are normalised."""
    return normalise_answer(answer) == normalise_answer(expected)


def f1(answer: str, expected: str) -> float:
    """The harmonic mean of precision and recall over words, between 0 and 1."""
    given, wanted = normalise_answer(answer).split(), normalise_answer(expected).split()
    shared = sum((Counter(given) & Counter(wanted)).values())
    if not shared:
        return float(given == wanted)
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores over all questions. `first` counts those whose first answer is right, `first_five`
    those with a right answer among the first five."""

    questions: int
    first: int
    first_five: int
    exact: float
    """Percentage of first answers that match exactly."""
    f1: float
    """Mean F1 of the first answers, in percent."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """How well questions without an answer are refused. `precision` is their share among the
    refused questions, `recall` the share of them that is refused, both in percent."""

    unanswerable: int
    precision: float
    recall: float


def score_refusals(answerable: Sequence[bool], unanswerable: Sequence[bool]) -> Refusals:
    """Scores refusals, from whether each question with an answer, and each without, was refused."""
    refused, right = sum(answerable) + sum(unanswerable), sum(unanswerable)
    return Refusals(
        unanswerable=len(unanswerable),
        precision=round(100 * right / max(1, refused), 1),
        recall=round(100 * right / max(1, len(unanswerable)), 1),
    )


def is_right(answer: str, expected: str) -> bool:
    """Whether an answer matches exactly, or most of its words are the expected ones."""
    return exact(answer, expected) or f1(answer, expected) >= RIGHT_F1


def score(results: Sequence[tuple[Sequence[str], str]]) -> Scores:
    """Scores the ranked answers to each question against the expected answer."""

    firsts = [(answers[0] if answers else "", expected) for answers, expected in results]
    count = max(1, len(results))
    return Scores(
        questions=len(results),
        first=sum(is_right(*pair) for pair in firsts),
        first_five=sum(
            any(is_right(answer, expected) for answer in answers[:5])
            for answers, expected in results
        ),
        exact=round(100 * sum(exact(*pair) for pair in firsts) / count, 1),
        f1=round(100 * sum(f1(*pair) for pair in firsts) / count, 1),
    )
