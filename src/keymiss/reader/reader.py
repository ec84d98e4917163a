"""The reader: questions and passages in, answers with exact offsets out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov

from keymiss.reader.calibration import CALIBRATION, load_calibration
from keymiss.reader.config import load_config
from keymiss.reader.errors import ModelError
from keymiss.reader.graph import build_graph
from keymiss.reader.spans import Logits, best_spans
from keymiss.reader.tokens import Ids, Tokens
from keymiss.reader.weights import load_weights

BUNDLED_MODEL = "minilm-qa"
"""The small reader that comes with the package."""

BUNDLED_FOLDER = Path(__file__).parent / "models" / BUNDLED_MODEL

READING = 1
"""Raised whenever the same model gives other answers than before."""

GROUP_TOKENS = 2048
"""Pairs run together while their padded tokens stay below this; more does not get faster."""

MAX_QUESTION_TOKENS = 128
"""Longer questions are cut: the passage needs the room."""


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
class _Row:
    """One forward pass: `[CLS] question [SEP] passage [SEP]`."""

    index: int
    ids: Ids
    passage_at: int
    passage_tokens: int


class Reader:
    """Reads passages for answers. One reader may be used from several threads."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        config = load_config(folder)
        self.name = folder.name
        self.tokens = Tokens(folder)
        self._max_tokens = config.max_position_embeddings
        self.calibration = load_calibration(folder)
        model = build_graph(config, load_weights(folder))
        self.version = _version(folder)
        options: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY"}
        options["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
        self._lock = threading.Lock()

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, threads: int | None = None) -> Reader:
        """Loads a model folder in Hugging Face's format, or the bundled model by its name.

        Raises:
            ModelError: there is no such model, or it is incomplete or damaged.
        """
        folder = BUNDLED_FOLDER if name_or_path == BUNDLED_MODEL else Path(name_or_path)
        if not folder.is_dir():
            raise ModelError(
                f"{folder} is no model folder; give a folder with config.json, tokenizer.json and "
                f"model.safetensors, or {BUNDLED_MODEL!r}"
            )
        return cls(folder, threads)

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
        has no token. Passages that do not fit the model together with their question are cut at its
        length.
        """
        rows = self._rows(pairs)
        results: list[list[Answer]] = [[] for _ in pairs]
        for group in _groups(rows):
            for row, logits in zip(group, self._logits(group), strict=True):
                passage = pairs[row.index][1]
                text = passage.text if isinstance(passage, Passage) else passage
                results[row.index] = self._answers(row, text, logits, top_k, max_answer_tokens)
        return results

    def _ids(self, passages: Sequence[str | Passage]) -> Iterator[Ids]:
        texts = [passage for passage in passages if isinstance(passage, str)]
        made = iter(self.tokens.encode(texts))
        for passage in passages:
            yield passage.ids if isinstance(passage, Passage) else next(made)

    def _rows(self, pairs: Sequence[tuple[str, str | Passage]]) -> list[_Row]:
        questions = list(dict.fromkeys(question for question, _ in pairs))
        encoded = dict(zip(questions, self.tokens.encode(questions), strict=True))
        passages = self._ids([passage for _, passage in pairs])
        special = self.tokens.special
        rows = []
        for index, ((question, _), passage) in enumerate(zip(pairs, passages, strict=True)):
            asked = encoded[question][:MAX_QUESTION_TOKENS]
            room = self._max_tokens - len(asked) - 3
            read = passage[:room]
            if len(read) == 0:
                continue
            separator = np.array([special.separator], np.int32)
            start = np.array([special.start], np.int32)
            ids = np.concatenate([start, asked, separator, read, separator])
            rows.append(_Row(index, ids, len(asked) + 2, len(read)))
        return rows

    def _logits(self, group: list[_Row]) -> Logits:
        """Start and end logits, float32 of shape (rows, longest row, 2)."""
        shape = (len(group), max(len(row.ids) for row in group))
        ids = np.full(shape, self.tokens.special.padding, np.int32)
        types = np.zeros(shape, np.int32)
        mask = np.zeros(shape, np.int32)
        for line, row in enumerate(group):
            length = len(row.ids)
            ids[line, :length] = row.ids
            types[line, row.passage_at : length] = 1
            mask[line, :length] = 1
        with self._lock:
            output = self._request.infer([ids, types, mask], share_inputs=True)
            logits: Logits = np.array(output[0])
        return logits

    def _answers(
        self, row: _Row, passage: str, logits: Logits, top_k: int, max_answer_tokens: int
    ) -> list[Answer]:
        inside = logits[row.passage_at : row.passage_at + row.passage_tokens]
        null_score = float(logits[0].sum())
        offsets = self.tokens.offsets(passage)
        answers = []
        for span in best_spans(inside[:, 0], inside[:, 1], top_k, max_answer_tokens):
            start, end = offsets[span.first][0], offsets[span.last][1]
            text = passage[start:end]
            answers.append(Answer(text, start, end, span.score, null_score, row.index))
        return answers


def _version(folder: Path) -> str:
    """Names what the answers depend on: the model's files and this code's way of reading."""
    digest = hashlib.sha256(str(READING).encode())
    names = ("config.json", "tokenizer.json", "model.safetensors", CALIBRATION)
    for name in (name for name in names if (folder / name).exists()):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return f"{folder.name[:40]}-{digest.hexdigest()[:12]}"


def _groups(rows: list[_Row]) -> Iterator[list[_Row]]:
    """Rows of near equal length together, so that little of a group is padding."""
    group: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if group and len(row.ids) * (len(group) + 1) > GROUP_TOKENS:
            yield group
            group = []
        group.append(row)
    if group:
        yield group
