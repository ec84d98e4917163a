"""The reader: questions and passages in, answers with exact offsets out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keymiss.errors import ModelError
from keymiss.reader.calibration import Calibration, load_calibration
from keymiss.reader.checkpoint import model_folder, model_name
from keymiss.reader.cpu_info import processor_name
from keymiss.reader.encoder_config import load_config
from keymiss.reader.engine.engine_network import load_engine_network
from keymiss.reader.engine.thread_count import thread_count
from keymiss.reader.model_cache import default_cache, read_object, write_object
from keymiss.reader.network import Ids, Logits, Network, Precision, TokenRow
from keymiss.reader.passage_windows import DEFAULT_LIMITS, Limits, PairRow, cut_pair
from keymiss.reader.precision import choose_precision
from keymiss.reader.reader_statistics import Statistics
from keymiss.reader.spans import Span, best_spans, trim
from keymiss.reader.tokenizer import Tokenizer

USUAL_TOKENS, MEASURED_ROWS, FEWEST_CALLS, MEASURING_SECONDS = 104, 5, 2, 0.3
"""How `Reader.warm_up` measures: the tokens of a question with a passage, passages of a call, and
calls, of which the shortest counts: at least two, and as many as there is time for."""

SPEEDS = "speeds.json"
"""The file of the cache folder that keeps what was measured, so that a reader reads as much after a
restart as before, whatever else the machine does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A span of a passage.

    `text` always equals the passage's text from `start` to `end`. `score` is the sum of the span's
    start and end logits, `null_score` is this sum for "there is no answer here", and the margin is
    their difference. `passage` is the index of the passage in the call.
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
    """A text with its ids from `Tokenizer.encode`, int32, so that they are not made again."""

    text: str
    ids: Ids


@dataclass(frozen=True, slots=True)
class WindowLogits:
    """The logits of a passage, or of the part of a passage that a row has room for.

    `pair` is the index of the pair. `first` is the index of the passage's token at which the window
    begins. `passage` holds the start and end logits of the window's tokens, float32 of shape
    (tokens, 2). `null` holds those of "there is no answer here", shape (2,).
    """

    pair: int
    first: int
    passage: Logits
    null: Logits


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A span of a passage's tokens, with the null score of the window that it was found in."""

    span: Span
    null_score: float

    @property
    def margin(self) -> float:
        return self.span.score - self.null_score


class Reader:
    """Finds answers in passages. Several threads may use one reader.

    >>> reader = Reader.from_pretrained("minilm-qa")
    >>> passages = ["Ali Mohamed Zaki isolated the MERS coronavirus from a patient in Jeddah."]
    >>> (answer,) = reader.read("Who isolated the MERS coronavirus?", passages)
    >>> answer.text, answer.start, answer.end, answer.passage
    ('Ali Mohamed Zaki', 0, 16, 0)
    """

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer,
        network: Network,
        calibration: Calibration,
        statistics: Statistics | None = None,
    ) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.network = network
        self.calibration = calibration
        self.statistics = statistics or Statistics()
        self.passage_ms = 0.0
        """How many milliseconds a usual passage takes among others; 0 before `warm_up`."""
        self.place = ""
        """The processor, threads, precision and model for which this is kept; nothing is kept when
        it is empty."""

    @property
    def precision(self) -> Precision:
        """The precision that the network computes in."""
        return self.network.precision

    @property
    def version(self) -> str:
        """A name for the model and the way of reading it: equal versions give equal answers."""
        return self.network.version

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, precision: str = "auto", threads: int | None = None
    ) -> Reader:
        """Loads a model in Hugging Face's format.

        Args:
            name_or_path: the model's folder; its name on the hub, such as
                `bert-large-uncased-whole-word-masking-finetuned-squad`, which is downloaded
                once; or `minilm-qa`, the model that comes with the package.
            precision: "fp32"; "bf16", which moves logits by a percent or two; "int8", which moves
                them by a few percent; or "auto", the fastest that the model may use on this
                machine: int8 only after a check (`keymiss model check`).
            threads: how many threads compute; by default as many as this process may use
                processors.

        Raises:
            ModelError: there is no such model or precision, or the model is incomplete or damaged.
        """
        started = time.perf_counter()
        folder = model_folder(name_or_path)
        config = load_config(folder)
        tokenizer = Tokenizer(folder)
        if tokenizer.vocabulary > config.vocabulary:
            raise ModelError(
                f"{folder}: the tokenizer has {tokenizer.vocabulary} tokens, "
                f"the model {config.vocabulary}; give the model's own tokenizer"
            )
        calibration = load_calibration(folder)
        statistics = Statistics()
        chosen = choose_precision(precision, folder)
        network = load_engine_network(folder, config, chosen, threads, statistics)
        statistics.add(load_seconds=time.perf_counter() - started)
        reader = cls(model_name(folder), tokenizer, network, calibration, statistics)
        count = threads or thread_count()
        reader.place = f"{processor_name()}, {count} threads, {chosen}, {network.version}"
        return reader

    def read(
        self,
        question: str,
        passages: Sequence[str],
        top_k: int = 1,
        max_answer_tokens: int = 30,
    ) -> list[Answer]:
        """The `top_k` answers with the highest margins in all passages together, best first."""
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
        """The best `top_k` answers of each (question, passage) pair, best first.

        A passage is a text, or a text with its tokens. The list of a pair is empty when its passage
        has no token. A passage that is too long is read in windows; its answers do not overlap.
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
    ) -> Iterator[WindowLogits]:
        """Yields the logits of all (question, passage) pairs, window by window, in any order."""
        with self.statistics.timed("tokenise_seconds"):
            rows = self.rows(pairs, limits)
        tokens = sum(len(row.tokens.ids) for row in rows)
        self.statistics.add(windows=len(rows), tokens=tokens)
        for index, logits in self.network.logits([row.tokens for row in rows]):
            row, begin = rows[index], rows[index].tokens.passage_at
            inside = logits[begin : begin + row.passage_tokens]
            yield WindowLogits(row.pair, row.first_token, inside, logits[0])

    def warm_up(self) -> None:
        """Does in advance the work that the first questions would wait for, and measures how long
        a passage takes (`passage_ms`)."""
        self.network.warm_up()
        path = default_cache() / SPEEDS
        known = read_object(path).get(self.place)
        if isinstance(known, float | int) and self.place:
            self.passage_ms = float(known)
            return
        self.passage_ms = self._measured_ms()
        if self.place:
            write_object(path, read_object(path) | {self.place: self.passage_ms})

    def _measured_ms(self) -> float:
        length = min(USUAL_TOKENS, self.network.max_tokens)
        row = TokenRow(np.full(length, self.tokenizer.special.separator, np.int32), length // 8)
        seconds: list[float] = []
        while len(seconds) < FEWEST_CALLS or sum(seconds) < MEASURING_SECONDS:
            started = time.perf_counter()
            list(self.network.logits([row] * MEASURED_ROWS))
            seconds.append(time.perf_counter() - started)
        return round(1000 * min(seconds) / MEASURED_ROWS, 3)

    def _ids(self, passages: Sequence[str | Passage]) -> Iterator[Ids]:
        texts = [passage for passage in passages if isinstance(passage, str)]
        made = iter(self.tokenizer.encode(texts))
        for passage in passages:
            yield passage.ids if isinstance(passage, Passage) else next(made)

    def rows(
        self, pairs: Sequence[tuple[str, str | Passage]], limits: Limits = DEFAULT_LIMITS
    ) -> list[PairRow]:
        """The rows that the network reads for the (question, passage) pairs."""
        limits = replace(limits, window=min(limits.window, self.network.max_tokens))
        questions = list(dict.fromkeys(question for question, _ in pairs))
        encoded = dict(zip(questions, self.tokenizer.encode(questions), strict=True))
        passages = self._ids([passage for _, passage in pairs])
        rows: list[PairRow] = []
        for index, ((question, _), passage) in enumerate(zip(pairs, passages, strict=True)):
            rows += cut_pair(index, encoded[question], passage, self.tokenizer.special, limits)
        return rows

    def _answers(
        self, index: int, passage: str | Passage, best: Sequence[_Candidate]
    ) -> list[Answer]:
        text = passage.text if isinstance(passage, Passage) else passage
        offsets = self.tokenizer.offsets(text)
        answers = []
        for candidate in best:
            span = candidate.span
            start, end = trim(text, offsets[span.first][0], offsets[span.last][1])
            if start < end:
                scores = (span.score, candidate.null_score)
                answers.append(Answer(text[start:end], start, end, *scores, index))
        return answers


def _candidates(window: WindowLogits, count: int, longest: int) -> list[_Candidate]:
    null_score = float(window.null.sum())
    return [
        _Candidate(
            Span(span.first + window.first, span.last + window.first, span.score), null_score
        )
        for span in best_spans(window.passage[:, 0], window.passage[:, 1], count, longest)
    ]


def _distinct(candidates: list[_Candidate]) -> list[_Candidate]:
    """The candidates by margin, best first. Of spans that overlap, only the best is kept."""
    kept: list[_Candidate] = []
    for candidate in sorted(candidates, key=lambda one: -one.margin):
        span = candidate.span
        if all(span.last < other.span.first or other.span.last < span.first for other in kept):
            kept.append(candidate)
    return kept
