"""The question-answering pipeline that `transformers` had until v5.3: the same calls and results.

    from keymiss import pipeline  # was: from transformers import pipeline

    oracle = pipeline("question-answering", model="...")
    oracle(question="Where do I live?", context="My name is Wolfgang and I live in Berlin")
    # {'score': 0.92, 'start': 34, 'end': 40, 'answer': 'Berlin'}

The behaviour follows the documentation and source of transformers 4, pipelines/
question_answering.py. A score is the product of two softmax probabilities, of the span's start and
of its end. Each softmax runs over the passage's tokens in the window and the first token, which
stands for "no answer".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keymiss.reader.checkpoint import BUNDLED_MODEL
from keymiss.reader.passage_windows import Limits
from keymiss.reader.reader import Reader, WindowLogits
from keymiss.reader.spans import trim

TASK = "question-answering"
PipelineResult = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the text that is searched for its answer."""

    question_text: str
    context_text: str


class QuestionAnsweringPipeline:
    """Answers questions with the same calls as the pipeline of transformers."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    @staticmethod
    def create_sample(
        question: str | list[str], context: str | list[str]
    ) -> Example | list[Example]:
        """Examples from a question and a context, or from lists of them."""
        if isinstance(question, str) and isinstance(context, str):
            return Example(question, context)
        return [Example(*pair) for pair in zip(question, context, strict=True)]

    def __call__(
        self,
        *args: Any,
        question: str | list[str] | None = None,
        context: str | list[str] | None = None,
        data: Any = None,
        top_k: int = 1,
        doc_stride: int = 128,
        max_answer_len: int = 15,
        max_seq_len: int = 384,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
    ) -> PipelineResult | list[PipelineResult] | list[PipelineResult | list[PipelineResult]]:
        """Answers one question or many.

        Args:
            args: an example, a list of examples, or a question and a context. An example is a
                dictionary with `question` and `context`, or a result of `create_sample`.
            question, context: texts in place of `args`; one context may serve many questions.
            data: an example or a list of examples, in place of `args`.
            top_k: how many answers a question gets, at most.
            doc_stride: how many tokens two windows of a long context share, at most.
            max_answer_len: how many tokens an answer has, at most.
            max_seq_len: how many tokens a window has together with its question, at most.
            max_question_len: how many tokens of a question are read; the rest is cut.
            handle_impossible_answer: whether the empty answer may be among the answers.
            align_to_words: whether answers begin and end with whole words.

        Returns:
            A dictionary with `score`, `start`, `end` and `answer`; a list of them when there is
            more than one answer; a list of either when there is more than one question.

        Raises:
            ValueError: a question or context is empty or missing, or a number is out of range.
        """
        if top_k < 1 or max_answer_len < 1:
            raise ValueError(
                f"top_k and max_answer_len must be at least 1, not {(top_k, max_answer_len)}"
            )
        examples = _examples(args, question, context, data)
        limits = Limits(max_seq_len, doc_stride, max_question_len)
        pairs = [(one.question_text, one.context_text) for one in examples]
        found: list[list[_Found]] = [[] for _ in examples]
        for window in self.reader.windows(pairs, limits):
            found[window.pair] += _spans(window, top_k, max_answer_len)
            if handle_impossible_answer:
                found[window.pair].append(_Found(_null_score(window), -1, -1))
        results: list[PipelineResult | list[PipelineResult]] = []
        for example, candidates in zip(examples, found, strict=True):
            best = self._results(example.context_text, candidates, top_k, align_to_words)
            results.append(best[0] if len(best) == 1 else best)
        return results[0] if len(results) == 1 else results

    def _results(
        self, context: str, candidates: list[_Found], top_k: int, align_to_words: bool
    ) -> list[PipelineResult]:
        tokenizer = self.reader.tokenizer
        offsets = tokenizer.word_offsets(context) if align_to_words else tokenizer.offsets(context)
        impossible = [one for one in candidates if one.first < 0]
        spans = [one for one in candidates if one.first >= 0]
        # "No answer" must hold for every window, so the lowest of their scores counts.
        spans += sorted(impossible, key=lambda one: one.score)[:1]
        results = []
        for one in sorted(spans, key=lambda one: -one.score)[:top_k]:
            start, end = (offsets[one.first][0], offsets[one.last][1]) if one.first >= 0 else (0, 0)
            start, end = trim(context, start, end)
            place = {"start": start, "end": end, "answer": context[start:end]}
            results.append({"score": one.score, **place})
        return results


@dataclass(frozen=True, slots=True)
class _Found:
    """A span of the context's tokens with its probability; `first` is -1 for "no answer"."""

    score: float
    first: int
    last: int


def _probabilities(window: WindowLogits) -> NDArray[np.float64]:
    """Start and end probabilities of the first and the passage's tokens, shape (1 + tokens, 2)."""
    logits = np.concatenate([window.null[None], window.passage]).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))


def _null_score(window: WindowLogits) -> float:
    return float(_probabilities(window)[0].prod())


def _spans(window: WindowLogits, count: int, longest: int) -> list[_Found]:
    """The best spans, which may overlap."""
    starts, ends = _probabilities(window)[1:].T
    scores = np.tril(np.triu(np.outer(starts, ends)), longest - 1).ravel()
    best = np.argsort(-scores, kind="stable")[:count]
    firsts, lasts = np.unravel_index(best, (len(starts), len(starts)))
    return [
        _Found(float(scores[place]), int(first) + window.first, int(last) + window.first)
        for place, first, last in zip(best, firsts, lasts, strict=True)
        if scores[place] > 0
    ]


def _examples(
    args: Sequence[Any],
    question: str | list[str] | None,
    context: str | list[str] | None,
    data: Any,
) -> list[Example]:
    if len(args) == 2 and all(isinstance(one, str) for one in args):
        return [_example({"question": args[0], "context": args[1]})]
    given = args[0] if len(args) == 1 else list(args) if args else data
    if given is not None:
        return [_example(one) for one in (given if _is_many(given) else [given])]
    if question is None or context is None:
        raise ValueError("give a question and a context, or examples that have both")
    questions = [question] if isinstance(question, str) else list(question)
    contexts = [context] if isinstance(context, str) else list(context)
    if len(contexts) == 1:
        contexts *= len(questions)
    if len(questions) != len(contexts):
        raise ValueError(
            f"there are {len(questions)} questions and {len(contexts)} contexts; give one context, "
            "or one for each question"
        )
    pairs = zip(questions, contexts, strict=True)
    return [_example({"question": one, "context": text}) for one, text in pairs]


def _is_many(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, (str, dict))


def _example(given: Any) -> Example:
    if isinstance(given, dict):
        given = Example(given.get("question", ""), given.get("context", ""))
    if not hasattr(given, "question_text") or not hasattr(given, "context_text"):
        raise ValueError(f"{given!r} is not a dictionary with the keys question and context")
    for name, text in (("question", given.question_text), ("context", given.context_text)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"`{name}` is {text!r}; text is needed")
    return Example(given.question_text, given.context_text)


def pipeline(
    task: str = TASK,
    model: str | Path | Reader = BUNDLED_MODEL,
    tokenizer: str | Path | None = None,
    *,
    precision: str = "auto",
    threads: int | None = None,
) -> QuestionAnsweringPipeline:
    """Loads a model for question answering.

    Args:
        task: "question-answering", which is the only task.
        model: a model folder, a model's name, or a loaded reader.
        tokenizer: None, or the same as `model`: the tokenizer is part of the model's folder.
        precision, threads: as in `Reader.from_pretrained`.

    Raises:
        ValueError: the task or the tokenizer is another one.
        ModelError: the model cannot be loaded.

    >>> oracle = pipeline("question-answering")
    >>> text = "My name is Wolfgang and I live in Berlin"
    >>> found = oracle(question="Where do I live?", context=text)
    >>> found["answer"], found["start"], found["end"]
    ('Berlin', 34, 40)
    """
    if task != TASK:
        raise ValueError(f"the task is {task!r}; keymiss knows only {TASK!r}")
    if tokenizer is not None and tokenizer != model:
        raise ValueError("the tokenizer is part of the model's folder; leave `tokenizer` out")
    if not isinstance(model, Reader):
        model = Reader.from_pretrained(model, precision, threads)
    return QuestionAnsweringPipeline(model)
