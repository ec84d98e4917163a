"""Asks the questions of a file of a corpus, and says of each where its answer was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from keymiss.asking.answers import CorpusAnswer, ask
from keymiss.asking.candidate_search import find
from keymiss.asking.effort import Effort, candidates_read
from keymiss.asking.passages import cut_passages
from keymiss.asking.shown_text import Shown, read_shown
from keymiss.errors import BadInput
from keymiss.evaluation.answer_scores import f1, is_right, normalise_answer
from keymiss.evaluation.question_file import ExpectedAnswer
from keymiss.keys import document_of_sentence
from keymiss.search.question import normalise_question
from keymiss.search.ranking import Ranked
from keymiss.server.servers import Servers

RESAMPLES = 1000
"""How often the questions are drawn again for an interval (Efron 1979)."""


class QuestionOutcome(StrEnum):
    """What became of a question. Only the first answer counts.

    The places where an answer is lost are those of the way to it: search gives candidates, the best
    of them are read with their neighbours, the likeliest answer is chosen, a span is cut out.
    """

    RIGHT = "right"
    NOT_FOUND = "not found"
    NOT_READ = "found, not read"
    NOT_CHOSEN = "read, not chosen"
    CUT_WRONGLY = "chosen, cut wrongly"
    REFUSED = "nothing answers it, and it was refused"
    ANSWERED = "nothing answers it, and it was answered"
    BAD_QUESTION = "not a question"


@dataclass(frozen=True, slots=True)
class Judged:
    """A question, its outcome, its first answer, and whether those that follow are right.

    `document_among_five` is None when the file does not name the document.
    """

    question: str
    expected: tuple[str, ...]
    outcome: QuestionOutcome
    answer: str
    sentence: str
    f1: float
    among_five: bool
    document_among_five: bool | None


@dataclass(frozen=True, slots=True)
class Share:
    """A mean over questions, in percent, with the interval in which it lies for 95 of 100 other
    draws of such questions."""

    percent: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CorpusScores:
    """The scores of all questions with an answer. `refused` and `answered` count the others."""

    questions: int
    right_first: Share
    right_among_five: Share
    f1: Share
    document_among_five: Share | None
    lost: dict[str, int]
    refused: int
    answered: int


async def judge(servers: Servers, asked: ExpectedAnswer, effort: Effort = Effort.NORMAL) -> Judged:
    """Asks a question, and looks where its answer was lost.

    Raises:
        Unavailable, TooSlow: the corpus cannot be asked.
    """
    try:
        found = await ask(servers, asked.question, effort=effort)
    except BadInput:
        return _judged(asked, (), QuestionOutcome.BAD_QUESTION)
    answers = found.answers
    if not asked.answers:
        outcome = QuestionOutcome.ANSWERED if found.answered else QuestionOutcome.REFUSED
        return _judged(asked, answers, outcome)
    if answers and _is_right(answers[0], asked):
        return _judged(asked, answers, QuestionOutcome.RIGHT)
    candidates = await find(servers, normalise_question(asked.question))
    first = [Ranked(one.sentence, 0.0) for one in answers[:1]]
    if await _is_held(servers, asked, first):
        return _judged(asked, answers, QuestionOutcome.CUT_WRONGLY)
    count = candidates_read(effort, candidates.passage_ms)
    if await _is_held(servers, asked, candidates.ranked[:count]):
        return _judged(asked, answers, QuestionOutcome.NOT_CHOSEN)
    if await _is_held(servers, asked, candidates.ranked):
        return _judged(asked, answers, QuestionOutcome.NOT_READ)
    return _judged(asked, answers, QuestionOutcome.NOT_FOUND)


async def _is_held(servers: Servers, asked: ExpectedAnswer, ranked: Sequence[Ranked]) -> bool:
    """Whether one of the passages that are read for these candidates holds a right answer."""
    wanted = [f" {normalise_answer(one)} " for one in asked.answers if normalise_answer(one)]
    for passage in cut_passages(ranked):
        keys = document_of_sentence(f"{passage.document}{passage.first}")
        if asked.document not in (None, keys.document):
            continue
        numbers = range(passage.first, passage.last + 1)
        shown = await read_shown(servers, [(keys, number) for number in numbers])
        text = normalise_answer(" ".join(one.text for one in shown if isinstance(one, Shown)))
        if any(one in f" {text} " for one in wanted):
            return True
    return False


def _is_right(answer: CorpusAnswer, asked: ExpectedAnswer) -> bool:
    return any(is_right(answer.text, one) for one in asked.answers)


def _judged(
    asked: ExpectedAnswer, answers: Sequence[CorpusAnswer], outcome: QuestionOutcome
) -> Judged:
    first = answers[0] if answers else None
    documents = [document_of_sentence(one.sentence).document for one in answers]
    return Judged(
        question=asked.question,
        expected=asked.answers,
        outcome=outcome,
        answer=first.text if first else "",
        sentence=first.sentence if first else "",
        f1=max((f1(first.text, one) for one in asked.answers), default=0.0) if first else 0.0,
        among_five=any(_is_right(one, asked) for one in answers),
        document_among_five=None if asked.document is None else asked.document in documents,
    )


def score_corpus(judged: Sequence[Judged]) -> CorpusScores:
    """The scores of all questions together."""
    answerable = [one for one in judged if one.expected]
    named = [one for one in answerable if one.document_among_five is not None]
    outcomes = [one.outcome for one in judged]
    lost = (
        *(
            QuestionOutcome.NOT_FOUND,
            QuestionOutcome.NOT_READ,
            QuestionOutcome.NOT_CHOSEN,
            QuestionOutcome.CUT_WRONGLY,
        ),
        QuestionOutcome.BAD_QUESTION,
    )
    return CorpusScores(
        questions=len(answerable),
        right_first=share_of([one.outcome is QuestionOutcome.RIGHT for one in answerable]),
        right_among_five=share_of([one.among_five for one in answerable]),
        f1=share_of([one.f1 for one in answerable]),
        document_among_five=share_of([bool(one.document_among_five) for one in named])
        if named
        else None,
        lost={each.value: outcomes.count(each) for each in lost},
        refused=outcomes.count(QuestionOutcome.REFUSED),
        answered=outcomes.count(QuestionOutcome.ANSWERED),
    )


def share_of(numbers: Sequence[float]) -> Share:
    """The mean of numbers from 0 to 1, one for each question."""
    values = np.array(numbers, float)
    if not len(values):
        return Share(0.0, 0.0, 0.0)
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    percent, low, high = (round(100 * float(each), 1) for each in (values.mean(), low, high))
    return Share(percent, low, high)
