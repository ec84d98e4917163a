"""The reader: questions and passages in, answers with exact offsets out."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import openvino as ov

from keymiss.errors import ModelError
from keymiss.reader.calibration import load_calibration
from keymiss.reader.checkpoint import model_files, model_folder, model_name, model_version
from keymiss.reader.encoder_config import load_config
from keymiss.reader.openvino.encoder_graph import build_graph
from keymiss.reader.openvino.kept_graphs import compile_kept, graph_file
from keymiss.reader.openvino.precision import choose_arithmetic, choose_precision
from keymiss.reader.reader_statistics import Statistics
from keymiss.reader.rows import DEFAULT_LIMITS, Limits, Row, cut_pair, group_rows, padded_length
from keymiss.reader.spans import Logits, Span, best_spans, trim
from keymiss.reader.tokenizer import Ids, Tokens
from keymiss.reader.weights import load_weights

INT8_STEP = 4
"""In int8, lengths are padded to a multiple of this: the engine makes its kernels anew for every
shape that it has not seen, which takes a small model as long as a sentence."""

WARM_TOKENS = 128
"""Up to here, kernels for single pairs are made before the first question comes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A span of a passage.

    `passage[start:end] == text`, always. `score` is the sum of the span's start and end logits,
    `null_score` that of "there is no answer here"; their difference is the margin. `passage` is
    the index of the passage in the call.
    """

    text: str
    start: int
    end: int
    score: float
    null_score: float
    passage: int

    @property
    def margin(self) -> float:
        """How much more likely the span is than no answer, in logits."""
        return self.score - self.null_score


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and the ids that `Reader.tokens` gives for it, int32: they are not made again."""

    text: str
    ids: Ids


@dataclass(frozen=True, slots=True)
class Window:
    """The logits of a passage, or of that part of it which the model has room for.

    `pair` is the index of the pair, `first` the token of the passage with which the window begins.
    `passage` has the start and end logits of its tokens, float32 of shape (tokens, 2), `null` those
    of "there is no answer here", shape (2,).
    """

    pair: int
    first: int
    passage: Logits
    null: Logits


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A span of a passage, in its tokens, and the null score of the window that it was found in."""

    span: Span
    null_score: float

    @property
    def margin(self) -> float:
        return self.span.score - self.null_score


class Reader:
    """Reads passages for answers. One reader may be used from several threads."""

    def __init__(self, folder: Path, precision: str = "auto", threads: int | None = None) -> None:
        started = time.perf_counter()
        self.statistics = Statistics()
        config = load_config(folder)
        self.name = model_name(folder)
        self.tokens = Tokens(folder)
        if self.tokens.vocabulary > config.vocabulary:
            raise ModelError(
                f"{folder}: the tokenizer has {self.tokens.vocabulary} tokens, "
                f"the model {config.vocabulary}"
            )
        self._max_tokens = config.max_tokens
        self.calibration = load_calibration(folder)
        self.precision = choose_precision(precision, config)
        files = model_files(folder)
        self.version = model_version(folder, files)
        kept = graph_file(self.version, self.precision)

        def graph() -> ov.Model:
            if self.precision == "int8":
                raise ModelError(
                    f"{self.name} is not quantized here; run `keymiss model quantize NAME "
                    "--calibrate FILE` with questions in SQuAD's format"
                )
            return build_graph(config, load_weights(folder))

        arithmetic = choose_arithmetic(self.precision, config)
        self._request = compile_kept(kept, arithmetic, graph, threads).create_infer_request()
        if self.precision == "int8":  # its answers depend on how it was calibrated
            self.version = model_version(folder, [*files, kept.with_suffix(".bin")])
        self._lock = threading.Lock()
        self.statistics.add(load_seconds=time.perf_counter() - started)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, precision: str = "auto", threads: int | None = None
    ) -> Reader:
        """Loads a model in Hugging Face's format.

        Args:
            name_or_path: its folder; its name on the hub, such as
                `bert-large-uncased-whole-word-masking-finetuned-squad`, which is downloaded
                once; or `minilm-qa`, the model that comes with the package.
            precision: "fp32"; "bf16", which moves logits by a percent or two; "auto", the faster
                of these on this machine; or "int8", for a model that has been quantized here.
            threads: how many to compute with; all processors of this process by default.

        Raises:
            ModelError: there is no such model, or it is incomplete or damaged.
        """
        return cls(model_folder(name_or_path), precision, threads)

    def read(
        self,
        question: str,
        passages: Sequence[str],
        top_k: int = 1,
        max_answer_tokens: int = 30,
    ) -> list[Answer]:
        """The best `top_k` answers of all passages together, by margin, best first."""
        pairs = [(question, passage) for passage in passages]
        per_passage = self.read_batch(pairs, top_k, max_answer_tokens)
        answers = [answer for found in per_passage for answer in found]
        return sorted(answers, key=lambda answer: -answer.margin)[:top_k]

    def read_batch(
        self,
        pairs: Sequence[tuple[str, str | Passage]],
        top_k: int = 1,
        max_answer_tokens: int = 30,
    ) -> list[list[Answer]]:
        """For each (question, passage) pair its best `top_k` answers, best first.

        A passage is a text, or a text with its tokens. The list of a pair is empty when its passage
        has no token. Passages that are too long are read in windows; their answers do not overlap.
        """
        self.statistics.add(calls=1, pairs=len(pairs))
        try:
            found: list[list[_Candidate]] = [[] for _ in pairs]
            for window in self.windows(pairs):
                found[window.pair] += _candidates(window, top_k, max_answer_tokens)
            with self.statistics.timed("answer_seconds"):
                return [
                    self._answers(index, passage, _distinct(candidates)[:top_k])
                    if candidates
                    else []
                    for index, ((_, passage), candidates) in enumerate(
                        zip(pairs, found, strict=True)
                    )
                ]
        except Exception:
            self.statistics.add(errors=1)
            raise

    def windows(
        self, pairs: Sequence[tuple[str, str | Passage]], limits: Limits = DEFAULT_LIMITS
    ) -> Iterator[Window]:
        """The logits of each (question, passage) pair, in windows, in any order."""
        with self.statistics.timed("tokenise_seconds"):
            rows = self._rows(pairs, limits)
        for group in group_rows(rows, self._padded_length):
            for row, logits in zip(group, self._logits(group), strict=True):
                inside = logits[row.passage_at : row.passage_at + row.passage_tokens]
                yield Window(row.index, row.first_token, inside, logits[0])

    def warm_up(self) -> None:
        """Makes ready what the first questions would wait for: packed weights, and kernels."""
        last = min(WARM_TOKENS, self._max_tokens)
        # In int8 new kernels take a small model longer than what they are for.
        first = 1 if self.precision == "int8" else last
        for length in dict.fromkeys(map(self._padded_length, range(first, last + 1))):
            ids = np.zeros((1, length), np.int32)
            with self._lock:
                self._request.infer([ids, ids, np.ones_like(ids)], share_inputs=True)

    def inputs(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[Ids]]:
        """What the graph is given for each window of the pairs, one at a time."""
        for row in self._rows(pairs):
            yield self._padded([row])

    def with_graph(self, compiled: ov.CompiledModel) -> Reader:
        """A reader of the same model that computes with another graph of it."""
        reader = copy.copy(self)
        reader._request = compiled.create_infer_request()
        reader._lock = threading.Lock()
        reader.statistics = Statistics()
        return reader

    def _ids(self, passages: Sequence[str | Passage]) -> Iterator[Ids]:
        texts = [passage for passage in passages if isinstance(passage, str)]
        made = iter(self.tokens.encode(texts))
        for passage in passages:
            yield passage.ids if isinstance(passage, Passage) else next(made)

    def _rows(
        self, pairs: Sequence[tuple[str, str | Passage]], limits: Limits = DEFAULT_LIMITS
    ) -> list[Row]:
        limits = replace(limits, window=min(limits.window, self._max_tokens))
        questions = list(dict.fromkeys(question for question, _ in pairs))
        encoded = dict(zip(questions, self.tokens.encode(questions), strict=True))
        passages = self._ids([passage for _, passage in pairs])
        rows: list[Row] = []
        for index, ((question, _), passage) in enumerate(zip(pairs, passages, strict=True)):
            rows += cut_pair(index, encoded[question], passage, self.tokens.special, limits)
        return rows

    def _logits(self, group: list[Row]) -> Logits:
        """Start and end logits, float32 of shape (rows, padded length, 2)."""
        padded = self._padded(group)
        with self._lock, self.statistics.timed("inference_seconds"):
            output = self._request.infer(padded, share_inputs=True)
            logits: Logits = np.array(output[0])
        tokens = sum(len(row.ids) for row in group)
        self.statistics.add(windows=len(group), tokens=tokens, padding=padded[0].size - tokens)
        return logits

    def _padded_length(self, longest: int) -> int:
        if self.precision == "fp32":  # nothing is gained
            return longest
        step = INT8_STEP if self.precision == "int8" else 1
        return padded_length(longest, step, self._max_tokens)

    def _padded(self, group: list[Row]) -> list[Ids]:
        """What the graph is given: ids, types and mask, each of shape (rows, padded length)."""
        shape = (len(group), self._padded_length(max(len(row.ids) for row in group)))
        ids = np.full(shape, self.tokens.special.padding, np.int32)
        types = np.zeros(shape, np.int32)
        mask = np.zeros(shape, np.int32)
        for line, row in enumerate(group):
            length = len(row.ids)
            ids[line, :length] = row.ids
            types[line, row.passage_at : length] = 1
            mask[line, :length] = 1
        return [ids, types, mask]

    def _answers(
        self, index: int, passage: str | Passage, best: Sequence[_Candidate]
    ) -> list[Answer]:
        text = passage.text if isinstance(passage, Passage) else passage
        offsets = self.tokens.offsets(text)
        answers = []
        for candidate in best:
            span = candidate.span
            start, end = trim(text, offsets[span.first][0], offsets[span.last][1])
            if start < end:
                scores = (span.score, candidate.null_score)
                answers.append(Answer(text[start:end], start, end, *scores, index))
        return answers


def _candidates(window: Window, count: int, longest: int) -> list[_Candidate]:
    null_score = float(window.null.sum())
    return [
        _Candidate(
            Span(span.first + window.first, span.last + window.first, span.score), null_score
        )
        for span in best_spans(window.passage[:, 0], window.passage[:, 1], count, longest)
    ]


def _distinct(candidates: list[_Candidate]) -> list[_Candidate]:
    """By margin, best first; of spans of two windows that overlap the better one."""
    kept: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda one: -one.margin):
        span = candidate.span
        if all(span.last < other.span.first or other.span.last < span.first for other in kept):
            kept.append(candidate)
    return kept
