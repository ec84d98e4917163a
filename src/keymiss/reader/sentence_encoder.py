"""The encoder: sentences in, vectors out, whose products say how near sentences are in meaning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from keymiss.errors import ModelError
from keymiss.reader.checkpoint import model_name, model_version
from keymiss.reader.encoder_config import EncoderConfig, load_config
from keymiss.reader.engine.engine_library import ALONE, YIELDING, Bytes, OpenEngine, Vectors
from keymiss.reader.engine.packed_weights import packed_weights
from keymiss.reader.engine.thread_count import checked_threads
from keymiss.reader.network import Ids, Precision
from keymiss.reader.precision import choose_encoder_precision
from keymiss.reader.sentence_model import BUNDLED_ENCODER, SentenceModel, sentence_model
from keymiss.reader.tokenizer import Tokenizer
from keymiss.reader.weights import load_weights

MOST_ENCODED_TOKENS = 1024
"""How many tokens a call has, at most, unless a single text has more: a question waits for the end
of a call."""


class Encoder:
    """Gives sentences vectors of the length 1: the mean of a BERT encoder's last states (Reimers
    and Gurevych 2019). Several threads may use one encoder.

    >>> encoder = Encoder.from_pretrained("all-MiniLM-L6-v2")
    >>> one, other, third = encoder.encode(["A cat sleeps.", "The kitten naps.", "Prices rose."])
    >>> bool(one @ other > one @ third)
    True
    """

    def __init__(
        self,
        model: SentenceModel,
        config: EncoderConfig,
        tokenizer: Tokenizer,
        precision: Precision,
        threads: int,
    ) -> None:
        self.name = model_name(model.folder)
        self.width = config.hidden
        """How many numbers a vector has."""
        self.precision = precision
        version = model_version(model.folder, model.files)
        self.fingerprint = version.rpartition("-")[2][:8]
        """Names the model: its vectors may be compared with each other, whatever the precision."""
        self.most_tokens = min(config.max_tokens, model.most_tokens or config.max_tokens)
        """What stands behind so many tokens of a text is left out, special tokens included."""
        self._tokenizer = tokenizer
        self._config = config
        self._threads = threads
        self._packed: Bytes = packed_weights(
            lambda: load_weights(model.folder, model.base),
            config,
            precision,
            f"encoder-{version}-{precision}",
            has_head=False,
        )
        self._engine = self._opened()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = BUNDLED_ENCODER,
        precision: str = "auto",
        threads: int | None = None,
    ) -> Encoder:
        """Loads a model in sentence-transformers' format, or a plain BERT encoder.

        Args:
            name_or_path: the model's folder; its name on the hub, which is downloaded once; or
                `all-MiniLM-L6-v2`, the encoder that comes with the package.
            precision, threads: as for `Reader.from_pretrained`.

        Raises:
            ModelError: there is no such model or precision, the model is incomplete or damaged, or
                its vectors are not means of states.
        """
        model = sentence_model(name_or_path)
        config = load_config(model.folder)
        tokenizer = Tokenizer(model.tokenizer_folder)
        if tokenizer.vocabulary > config.vocabulary:
            raise ModelError(
                f"{model.folder}: the tokenizer has {tokenizer.vocabulary} tokens, "
                f"the model {config.vocabulary}; give the model's own tokenizer"
            )
        chosen = choose_encoder_precision(precision, model.base is not None)
        return cls(model, config, tokenizer, chosen, checked_threads(threads))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """The vector of each text, float32 of shape (texts, width)."""
        return self._encoded(texts, self._threads)

    def encode_at_once(self, texts: Sequence[str]) -> Vectors:
        """What `encode` gives, by the calling thread alone, which does not wait for readers that
        compute: for a question or two."""
        return self._encoded(texts, ALONE)

    def _encoded(self, texts: Sequence[str], threads: int) -> Vectors:
        calls = self._calls(texts)
        return self._joined([self._engine.vectors(some, self.width, threads) for some in calls])

    def encode_yielding(self, texts: Sequence[str]) -> Vectors:
        """What `encode` gives, by threads that compute when no other thread wants a processor."""
        calls = list(self._calls(texts))
        engines = [self._yielding[number % self._threads] for number in range(len(calls))]
        return self._joined(list(self._threads_that_wait.map(self._made_yielding, engines, calls)))

    def _made_yielding(self, engine: OpenEngine, rows: Sequence[Ids]) -> Vectors:
        return engine.vectors(rows, self.width, YIELDING)

    def _joined(self, made: Sequence[Vectors]) -> Vectors:
        return np.concatenate([np.empty((0, self.width), np.float32), *made])

    def _calls(self, texts: Sequence[str]) -> Iterator[Sequence[Ids]]:
        """The rows of token ids, divided into calls."""
        rows: list[Ids] = []
        tokens = 0
        for ids in self._rows(texts):
            if rows and tokens + len(ids) > MOST_ENCODED_TOKENS:
                yield rows
                rows, tokens = [], 0
            rows.append(ids)
            tokens += len(ids)
        if rows:
            yield rows

    def _rows(self, texts: Sequence[str]) -> Iterator[Ids]:
        special = self._tokenizer.special
        for ids in self._tokenizer.encode(list(texts)):
            row = np.empty(min(len(ids) + 2, self.most_tokens), np.int32)
            row[0], row[1:-1], row[-1] = special.start, ids[: len(row) - 2], special.separator
            yield row

    def _opened(self) -> OpenEngine:
        return OpenEngine(self._packed, self._config, self.precision)

    @cached_property
    def _yielding(self) -> list[OpenEngine]:
        """Engines of their own: nobody who asks for a vector waits for their calls."""
        return [self._opened() for _ in range(self._threads)]

    @cached_property
    def _threads_that_wait(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, "keymiss-encoder")
