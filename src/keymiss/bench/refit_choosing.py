"""Fits the model that chooses a question's answers, and measures answers over all sets.

    python -m keymiss.bench.refit_choosing SQUAD_FILE [--sample FOLDER] [--open FOLDER]
        [--precision fp32] [--write]

Questions are asked through the whole path, with ten and with thirty candidates. A question is
scored by a model that was fitted without its group, an article or a field (cross-validation).
`--write` keeps the model that is fitted on everything with the package, and the table in
docs/decisions/0021-finding-and-choosing.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

import numpy as np

from keymiss.asking.answers import MOST_ANSWERS
from keymiss.asking.choosing import (
    CHOOSING_FILE,
    ChoosingModel,
    SpansRead,
    choose,
    choosing_model,
    ranked_spans,
)
from keymiss.asking.effort import FEWEST_READ, MOST_READ
from keymiss.asking.passage_reading import read_passages
from keymiss.asking.passages import cut_passages
from keymiss.asking.retrieval import WordRetriever, retrieve
from keymiss.bench.question_sets import (
    QuestionSet,
    SetQuestion,
    further_sets,
    squad_set,
    stack_of,
)
from keymiss.bench.refit import binned_error, put_into, sigmoid
from keymiss.evaluation.answer_scores import f1, is_right, score_refusals
from keymiss.reader import BUNDLED_MODEL
from keymiss.search.question import normalise_question
from keymiss.search.ranking import Floats
from keymiss.server.servers import Servers

CHOOSING_DECISION = Path("docs") / "decisions" / "0021-finding-and-choosing.md"

LEAST_PROBABLE = 0.18
"""A question whose first span is less probable has no answer."""

RIDGE = 1.0
"""How strongly weights are held near 0, in spans' worth of evidence."""

FOLDS = 10
"""Into how many parts the articles of a set are divided."""


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question with what was read for it.

    `rows` has the log odds of each span and the share of its sentence, shape (spans, 2), and
    `right` is 1 where a span is right, shape (spans,).
    """

    question: SetQuestion
    read: SpansRead
    rows: Floats
    right: Floats


@dataclass(frozen=True, slots=True)
class SetScores:
    """Answers of a set, in percent of the questions that have one: right first, right among five,
    F1 of the first.

    `error` is the expected calibration error of the first answer's probability over all questions,
    and `surely_wrong` counts those that nothing answers and that got an answer of a probability of
    0.5 or more. Precision and recall are those of "no answer".
    """

    questions: int
    first: float
    five: float
    f1: float
    error: float
    surely_wrong: int
    precision: float
    recall: float


# ---- asking ----


def read_set(asked: QuestionSet, precision: str) -> dict[int, list[AskedQuestion]]:
    """What is read for each question, by the number of candidates."""
    with stack_of(asked, BUNDLED_MODEL, precision) as url:
        return asyncio.run(_read_all(url, asked))


async def _read_all(url: str, asked: QuestionSet) -> dict[int, list[AskedQuestion]]:
    found: dict[int, list[AskedQuestion]] = {FEWEST_READ: [], MOST_READ: []}
    async with Servers(url) as servers:
        for one in asked.questions:
            question = normalise_question(one.text)
            ranked = (await retrieve([WordRetriever(servers)], question)).ranked
            for count, reads in found.items():
                passages = cut_passages(ranked[:count])
                read = (await read_passages(servers, question, passages)).found
                reads.append(asked_question(one, read))
    return found


def asked_question(question: SetQuestion, read: SpansRead) -> AskedQuestion:
    spans = [(passage, span) for passage, some in read for span in some if span.text]
    rows = [[span.log_odds, passage.share(span.sentence)] for passage, span in spans]
    right = [is_expected(span.text, question) for _, span in spans]
    return AskedQuestion(
        question, read, np.array(rows, float).reshape(-1, 2), np.array(right, float)
    )


def is_expected(text: str, question: SetQuestion) -> bool:
    return any(is_right(text, answer) for answer in question.expected)


# ---- fitting ----


def fit_model(asked: Sequence[AskedQuestion]) -> ChoosingModel:
    """The ranking under which right spans are likeliest to come first, and probabilities that fit
    the first answers (Platt 1999)."""
    of_odds, of_share = ranking_weights(asked)
    ranking = replace(
        choosing_model(), share_in_score=round(of_share / of_odds, 3), least=LEAST_PROBABLE
    )
    rows, right = [], []
    for one in asked:
        for first in ranked_spans(one.read, ranking)[:1]:
            rows.append([first.span.log_odds, first.share])
            right.append(is_expected(first.span.text, one.question))
    weights = newton(np.array(rows), np.array(right, float))
    log_odds, share, intercept = (round(float(one), 4) for one in weights)
    return replace(ranking, log_odds=log_odds, share=share, intercept=intercept)


def ranking_weights(asked: Sequence[AskedQuestion]) -> list[float]:
    """The weights of log odds and share in a softmax over a question's spans, with the least loss
    where one of them is right, by Newton's method (a conditional logit; McFadden 1974)."""
    spread = np.concatenate([one.rows for one in asked]).std(axis=0) + 1e-9
    sets = [(one.rows / spread, one.right) for one in asked if one.right.any()]
    weights = np.zeros(2)
    for _ in range(50):
        gradient, hessian = -RIDGE * weights, RIDGE * np.eye(2)
        for rows, right in sets:
            p = np.exp(rows @ weights - (rows @ weights).max())
            wanted = p * right / (p * right).sum()
            p /= p.sum()
            mean = rows.T @ p
            gradient += rows.T @ (wanted - p)
            hessian += (rows.T * p) @ rows - np.outer(mean, mean)
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if abs(step).max() < 1e-6:
            break
    return [float(one) for one in weights / spread]


def newton(rows: Floats, right: Floats) -> Floats:
    """The weights of a logistic regression, and its intercept last, by Newton's method. Features
    are scaled to the same spread, so that the ridge holds all of them alike."""
    spread = rows.std(axis=0) + 1e-9
    design = np.c_[rows / spread, np.ones(len(rows))]
    ridge = RIDGE * np.eye(design.shape[1])
    ridge[-1, -1] = 0
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = sigmoid(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + ridge
        step = np.linalg.solve(hessian, design.T @ (right - p) - ridge @ weights)
        weights += step
        if abs(step).max() < 1e-6:
            break
    return np.asarray(weights / np.append(spread, 1.0))


def cross_validated(sets: dict[str, list[AskedQuestion]]) -> dict[str, list[ChoosingModel]]:
    """For each question of each set, a model that was fitted without its group."""
    of_fold: dict[tuple[str, str], list[AskedQuestion]] = defaultdict(list)
    for name, asked in sets.items():
        for one in asked:
            of_fold[_fold(name, one)].append(one)
    models = {
        fold: fit_model([one for other, some in of_fold.items() if other != fold for one in some])
        for fold in of_fold
    }
    return {name: [models[_fold(name, one)] for one in asked] for name, asked in sets.items()}


def _fold(name: str, one: AskedQuestion) -> tuple[str, str]:
    """What a question is left out with: its field, or a tenth of the articles. The two sets that
    are made of one file of SQuAD are left out together."""
    group = one.question.group
    if name == "open":
        return name, group
    return name.replace("half", "squad"), str(zlib.crc32(group.encode()) % FOLDS)


# ---- scoring ----


def score_set(asked: Sequence[AskedQuestion], models: Sequence[ChoosingModel]) -> SetScores:
    first, five, overlap, refused, probable = [], [], [], [], []
    surely_wrong = 0
    for one, model in zip(asked, models, strict=True):
        answers = choose(one.read, MOST_ANSWERS, model)
        right = [is_expected(answer.span.text, one.question) for answer in answers]
        best = ranked_spans(one.read, model)[:1]
        probable += [(each.probability, is_expected(each.span.text, one.question)) for each in best]
        answered = bool(answers) and answers[0].probability >= model.least
        refused.append((bool(one.question.expected), not answered))
        if one.question.expected:
            text = answers[0].span.text if answers else ""
            first.append(right[:1] == [True])
            five.append(any(right))
            overlap.append(max(f1(text, answer) for answer in one.question.expected))
        else:
            surely_wrong += bool(answers) and answers[0].probability >= 0.5
    refusals = score_refusals(
        [was for answerable, was in refused if answerable],
        [was for answerable, was in refused if not answerable],
    )
    return SetScores(
        len(first),
        percent(first),
        percent(five),
        percent(overlap),
        round(binned_error(*np.array(probable, float).T), 3),
        surely_wrong,
        refusals.precision,
        refusals.recall,
    )


def percent(values: Sequence[float]) -> float:
    return round(100 * float(np.mean(values)), 1)


# ---- writing ----


def table(scores: dict[str, SetScores]) -> str:
    """A Markdown table: a row for each set and number of candidates."""
    lines = [
        "| set, candidates | questions | right first | among five | F1 | calibration error "
        "| nothing answers, yet 0.5 | no answer: precision | recall |",
        "|" + "---|" * 9,
    ]
    for name, one in scores.items():
        lines.append(f"| {name} | {' | '.join(str(value) for value in astuple(one))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("squad", type=Path)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--open", type=Path)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = [squad_set(given.squad, Path(folder), half) for half in (True, False)]
        sets += further_sets(given.sample, given.open)
        found = {each.name: read_set(each, given.precision) for each in sets}
    both = {name: [*reads[FEWEST_READ], *reads[MOST_READ]] for name, reads in found.items()}
    models = cross_validated(both)
    scores = {}
    for name, reads in found.items():
        size = len(reads[FEWEST_READ])
        scores[f"{name}, {FEWEST_READ}"] = score_set(reads[FEWEST_READ], models[name][:size])
        scores[f"{name}, {MOST_READ}"] = score_set(reads[MOST_READ], models[name][size:])
    model = fit_model([one for some in both.values() for one in some])
    text = table(scores)
    print(text, model, sep="\n\n")
    if given.write:
        CHOOSING_FILE.write_text(json.dumps(asdict(model), indent=1) + "\n", encoding="utf-8")
        put_into(CHOOSING_DECISION, text)


if __name__ == "__main__":
    main()
