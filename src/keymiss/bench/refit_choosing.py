"""Fits the model that chooses a question's answers, and measures answers over all sets.

    python -m keymiss.bench.refit_choosing SQUAD_FILE [--sample FOLDER] [--open FOLDER]
        [--precision fp32] [--words] [--write]

Questions are asked through the whole path, with ten and with thirty candidates. A question is
scored by a model that was fitted without its group, an article or a field (cross-validation).
With `--words`, sentences are found by their words alone. `--write` keeps the model that is fitted
on everything with the package, and the table in docs/decisions/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from keymiss.answering.vector_memory import VectorsMode
from keymiss.asking.answers import MOST_ANSWERS
from keymiss.asking.choosing import (
    CHOOSING_FILE,
    ChoosingModel,
    FoundBy,
    SpansRead,
    choose,
    choosing_model,
    features_of_first,
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
from keymiss.bench.refit import binned_error, put_into, sigmoids
from keymiss.evaluation.answer_scores import f1, is_right, score_refusals
from keymiss.evaluation.corpus_evaluation import Share, share_of
from keymiss.keys import document_keys
from keymiss.reader import BUNDLED_MODEL
from keymiss.search.question import normalise_question
from keymiss.search.ranking import Floats
from keymiss.server.servers import Servers

DECISIONS = Path("docs") / "decisions"
PAGES = {FoundBy.WORDS: "0021-finding-and-choosing.md", FoundBy.VECTORS: "0022-vectors.md"}

LEAST_PROBABLE = 0.19
"""A question whose first span is less probable has no answer."""

RIDGE = 1.0
"""How strongly weights are held near 0, in spans' worth of evidence."""

MOST_OF_SQUAD = 300
"""How many reads of a set made of SQuAD's file count in a fit, two for each question: its questions
are in the text's words, and there are many."""

OF_SQUAD = ("squad", "half")

FITTED = ("log_odds", "share", "cosine", "lead", "intercept")
"""The weights of the probability, in the order of `features_of_first`."""

FOLDS = 10
"""Into how many parts the articles of a set are divided."""


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question with what was read for it.

    `rows` has the log odds of each span, and the share and the cosine of its sentence, shape
    (spans, 3), and `right` is 1 where a span is right, shape (spans,).
    """

    question: SetQuestion
    read: SpansRead
    rows: Floats
    right: Floats


@dataclass(frozen=True, slots=True)
class SetScores:
    """Answers of a set, in percent of the questions that have one: right first, right among five,
    F1 of the first, and the answer's document among five.

    `error` is the expected calibration error of the first answer's probability over all questions,
    and `surely_wrong` counts those that nothing answers and that got an answer of a probability of
    0.5 or more. Precision and recall are those of "no answer".
    """

    questions: int
    first: Share
    five: Share
    f1: Share
    document: Share
    error: float
    surely_wrong: int
    precision: float
    recall: float


# ---- asking ----


def read_set(asked: QuestionSet, precision: str, by: FoundBy) -> dict[int, list[AskedQuestion]]:
    """What is read for each question, by the number of candidates."""
    vectors = VectorsMode.ON if by is FoundBy.VECTORS else VectorsMode.OFF
    with stack_of(asked, BUNDLED_MODEL, precision, vectors) as url:
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
    rows = [
        [span.log_odds, passage.share(span.sentence), passage.cosine(span.sentence)]
        for passage, span in spans
    ]
    right = [is_expected(span.text, question) for _, span in spans]
    return AskedQuestion(
        question, read, np.array(rows, float).reshape(-1, 3), np.array(right, float)
    )


def is_expected(text: str, question: SetQuestion) -> bool:
    return any(is_right(text, answer) for answer in question.expected)


# ---- fitting ----


def fit_model(asked: Sequence[AskedQuestion]) -> ChoosingModel:
    """The ranking under which right spans are likeliest to come first, and probabilities that fit
    the first answers (Platt 1999)."""
    of_odds, of_share, of_cosine = ranking_weights(asked)
    ranking = replace(
        choosing_model(FoundBy.VECTORS),
        share_in_score=round(of_share / of_odds, 3),
        cosine_in_score=round(of_cosine / of_odds, 3),
        least=LEAST_PROBABLE,
    )
    rows, right = [], []
    for one in asked:
        if ranked := ranked_spans(one.read, ranking):
            rows.append(features_of_first(ranked))
            right.append(is_expected(ranked[0].span.text, one.question))
    weights = newton(np.array(rows), np.array(right, float))
    fitted = dict(zip(FITTED, (round(float(one), 4) for one in weights), strict=True))
    model = replace(ranking, **fitted)
    later, behind = later_weights(asked, model)
    return replace(model, later=later, behind=behind)


def later_weights(asked: Sequence[AskedQuestion], model: ChoosingModel) -> tuple[float, float]:
    """How much less likely the spans that follow the first are, at all, and for what their scores
    are behind."""
    known, rows, right = [], [], []
    for one in asked:
        ranked = ranked_spans(one.read, model)[:MOST_ANSWERS]
        for other in ranked[1:]:
            known.append(model.likelihood(*features_of_first(ranked)))
            rows.append([-1.0, other.score - ranked[0].score])
            right.append(is_expected(other.span.text, one.question))
    design, wanted = np.array(rows), np.array(right, float)
    weights = newton_weights(design, wanted, RIDGE * np.eye(2), np.array(known))
    later, behind = (round(max(0.0, float(one)), 4) for one in weights)
    return later, behind


def ranking_weights(asked: Sequence[AskedQuestion]) -> list[float]:
    """The weights of log odds, share and cosine in a softmax over a question's spans, with the
    least loss where one of them is right, by Newton's method (a conditional logit; McFadden
    1974)."""
    spread = np.concatenate([one.rows for one in asked]).std(axis=0) + 1e-9
    sets = [(one.rows / spread, one.right) for one in asked if one.right.any()]
    weights = np.zeros(3)
    for _ in range(50):
        gradient, hessian = -RIDGE * weights, RIDGE * np.eye(3)
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
    weights = newton_weights(design, right, ridge, np.zeros(len(rows)))
    return np.asarray(weights / np.append(spread, 1.0))


def newton_weights(design: Floats, right: Floats, ridge: Floats, offset: Floats) -> Floats:
    """The weights with the least log loss, beside known log odds (`offset`)."""
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        p = sigmoids(offset + design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + ridge
        step = np.linalg.solve(hessian, design.T @ (right - p) - ridge @ weights)
        weights += step
        if abs(step).max() < 1e-6:
            break
    return weights


def cross_validated(sets: dict[str, list[AskedQuestion]]) -> dict[str, list[ChoosingModel]]:
    """For each question of each set, a model that was fitted without its group."""
    fitted = [(_fold(name, one), one) for name, one in thinned(sets)]
    folds = {_fold(name, one) for name, asked in sets.items() for one in asked}
    models = {fold: fit_model([one for other, one in fitted if other != fold]) for fold in folds}
    return {name: [models[_fold(name, one)] for one in asked] for name, asked in sets.items()}


def thinned(sets: dict[str, list[AskedQuestion]]) -> list[tuple[str, AskedQuestion]]:
    """As many as count in a fit, evenly spread, each with the name of its set."""
    return [
        (name, one)
        for name, asked in sets.items()
        for one in asked[:: math.ceil(len(asked) / MOST_OF_SQUAD) if name in OF_SQUAD else 1]
    ]


def _fold(name: str, one: AskedQuestion) -> tuple[str, str]:
    """What a question is left out with: its field, or a tenth of the articles. The two sets that
    are made of one file of SQuAD are left out together."""
    group = one.question.group
    if name == "open":
        return name, group
    return name.replace("half", "squad"), str(zlib.crc32(group.encode()) % FOLDS)


# ---- scoring ----


def score_set(asked: Sequence[AskedQuestion], models: Sequence[ChoosingModel]) -> SetScores:
    first, five, overlap, refused, probable, documents = [], [], [], [], [], []
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
            wanted = document_keys(one.question.document).sentence_prefix
            documents.append(any(answer.document == wanted for answer in answers))
            overlap.append(max(f1(text, answer) for answer in one.question.expected))
        else:
            surely_wrong += bool(answers) and answers[0].probability >= 0.5
    refusals = score_refusals(
        [was for answerable, was in refused if answerable],
        [was for answerable, was in refused if not answerable],
    )
    return SetScores(
        len(first),
        share_of(first),
        share_of(five),
        share_of(overlap),
        share_of(documents),
        round(binned_error(*np.array(probable, float).T), 3),
        surely_wrong,
        refusals.precision,
        refusals.recall,
    )


# ---- writing ----


def table(scores: dict[str, SetScores]) -> str:
    """A Markdown table: a row for each set and number of candidates."""
    lines = [
        "| set, candidates | questions | right first | among five | F1 | document among five "
        "| calibration error | nothing answers, yet 0.5 | no answer: precision | recall |",
        "|" + "---|" * 10,
    ]
    for name, one in scores.items():
        values = [getattr(one, each.name) for each in fields(one)]
        lines.append(f"| {name} | {' | '.join(map(_cell, values))} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, Share):
        return f"{value.percent} ({value.low} to {value.high})"
    return str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("squad", type=Path)
    parser.add_argument("--sample", type=Path)
    parser.add_argument("--open", type=Path)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--words", action="store_true", help="find by words alone")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = [squad_set(given.squad, Path(folder), half) for half in (True, False)]
        sets += further_sets(given.sample, given.open)
        by = FoundBy.WORDS if given.words else FoundBy.VECTORS
        found = {each.name: read_set(each, given.precision, by) for each in sets}
    both = {name: [*reads[FEWEST_READ], *reads[MOST_READ]] for name, reads in found.items()}
    models = cross_validated(both)
    scores = {}
    for name, reads in found.items():
        size = len(reads[FEWEST_READ])
        scores[f"{name}, {FEWEST_READ}"] = score_set(reads[FEWEST_READ], models[name][:size])
        scores[f"{name}, {MOST_READ}"] = score_set(reads[MOST_READ], models[name][size:])
    model = fit_model([one for _, one in thinned(both)])
    text = table(scores)
    print(text, model, sep="\n\n")
    if given.write:
        models_kept = json.loads(CHOOSING_FILE.read_text(encoding="utf-8")) | {by: asdict(model)}
        CHOOSING_FILE.write_text(json.dumps(models_kept, indent=1) + "\n", encoding="utf-8")
        put_into(DECISIONS / PAGES[by], text)


if __name__ == "__main__":
    main()
