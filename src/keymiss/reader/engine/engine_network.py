"""A network computed by the engine: the tokens of all rows stand one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keymiss.reader.checkpoint import model_files, model_version
from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.engine.engine_library import Bytes, OpenEngine, instruction_set
from keymiss.reader.engine.packed_weights import packed_weights
from keymiss.reader.engine.thread_count import checked_threads
from keymiss.reader.network import Logits, Precision, TokenRow
from keymiss.reader.reader_statistics import Statistics
from keymiss.reader.weights import load_weights

MOST_CALL_TOKENS = 2048
"""How many tokens a call has, at most, unless a single row has more: they bound its memory."""


class EngineNetwork:
    """The `Network` that computes with the engine.

    Args:
        packed: the packed weights of a model of this config and precision.
        threads: how many threads compute.
        statistics: counts the seconds of computing.

    Raises:
        ModelError: the weights are another model's, or the instruction set that `KEYMISS_ISA` names
            does not run here.
    """

    def __init__(
        self,
        packed: Bytes,
        config: EncoderConfig,
        precision: Precision,
        version: str,
        threads: int,
        statistics: Statistics,
    ) -> None:
        self.max_tokens = config.max_tokens
        self.precision = precision
        self.version = version
        self._threads = threads
        self._statistics = statistics
        self.isa = instruction_set(precision)
        self._engine = OpenEngine(packed, config, precision)

    def logits(self, rows: Sequence[TokenRow]) -> Iterator[tuple[int, Logits]]:
        """See `Network`."""
        for first, some in calls(rows):
            with self._statistics.timed("inference_seconds"):
                computed = self._engine.logits(some, self._threads)
            at = 0
            for index, row in enumerate(some, first):
                yield index, computed[at : at + len(row.ids)]
                at += len(row.ids)

    def warm_up(self) -> None:
        """See `Network`. One row brings the weights into memory."""
        row = TokenRow(np.zeros(min(16, self.max_tokens), np.int32), 8)
        list(self.logits([row]))


def calls(rows: Sequence[TokenRow]) -> Iterator[tuple[int, Sequence[TokenRow]]]:
    """Divides rows into calls: the index of each call's first row, and its rows."""
    first = tokens = 0
    for index, row in enumerate(rows):
        if index > first and tokens + len(row.ids) > MOST_CALL_TOKENS:
            yield first, rows[first:index]
            first, tokens = index, 0
        tokens += len(row.ids)
    if first < len(rows):
        yield first, rows[first:]


def load_engine_network(
    folder: Path,
    config: EncoderConfig,
    precision: Precision,
    threads: int | None,
    statistics: Statistics,
) -> EngineNetwork:
    """Loads the network of a model folder.

    Args:
        precision: "fp32", "bf16" or "int8".
        threads: how many threads compute; None for `thread_count`.
        statistics: as for `EngineNetwork`.

    Raises:
        ModelError: the weights are incomplete or damaged, KEYMISS_ISA names no instruction set
            that runs here, or the threads are less than one.
    """
    count = checked_threads(threads)
    version = model_version(folder, model_files(folder))
    packed = packed_weights(
        lambda: load_weights(folder), config, precision, f"{version}-{precision}"
    )
    return EngineNetwork(packed, config, precision, version, count, statistics)
