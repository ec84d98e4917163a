"""A network computed by OpenVINO: rows of similar length are padded and computed together."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import openvino as ov

from keymiss.errors import ModelError
from keymiss.reader.checkpoint import model_files, model_name, model_version
from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.network import Ids, Logits, Precision, TokenRow
from keymiss.reader.openvino.arithmetic_probe import choose_arithmetic, choose_precision
from keymiss.reader.openvino.encoder_graph import build_graph
from keymiss.reader.openvino.kept_graphs import compile_kept, graph_file
from keymiss.reader.openvino.padding import group_rows, padded_length
from keymiss.reader.reader_statistics import Statistics
from keymiss.reader.weights import load_weights

INT8_STEP = 4
"""In int8, lengths are padded to a multiple of this. The engine makes kernels for every shape that
it has not seen, which takes a small model as long as reading a sentence."""

WARM_TOKENS = 128
"""The length up to which kernels for single pairs are made before the first question."""


class OpenVinoNetwork:
    """The `Network` that computes with OpenVINO.

    Args:
        compiled: the graph from `build_graph`, compiled.
        padding: the id of the padding token.
        statistics: counts the seconds of computing and the tokens of padding.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        config: EncoderConfig,
        padding: int,
        precision: Precision,
        version: str,
        statistics: Statistics,
    ) -> None:
        self.max_tokens = config.max_tokens
        self.precision: Precision = precision
        self.version = version
        self._request = compiled.create_infer_request()
        self._padding = padding
        self._statistics = statistics
        self._lock = threading.Lock()

    def logits(self, rows: Sequence[TokenRow]) -> Iterator[tuple[int, Logits]]:
        """See `Network`."""
        for group in group_rows([len(row.ids) for row in rows], self._padded_length):
            some = [rows[index] for index in group]
            padded = self.padded(some)
            with self._lock, self._statistics.timed("inference_seconds"):
                output = self._request.infer(padded, share_inputs=True)
                logits: Logits = np.array(output[0])
            tokens = sum(len(row.ids) for row in some)
            self._statistics.add(padding=padded[0].size - tokens)
            for index, row, own in zip(group, some, logits, strict=True):
                yield index, own[: len(row.ids)]

    def warm_up(self) -> None:
        """See `Network`. This packs the weights and makes kernels."""
        last = min(WARM_TOKENS, self.max_tokens)
        # In int8, a small model takes longer to make kernels than to compute with them.
        first = 1 if self.precision == "int8" else last
        for length in dict.fromkeys(map(self._padded_length, range(first, last + 1))):
            ids = np.zeros((1, length), np.int32)
            with self._lock:
                self._request.infer([ids, ids, np.ones_like(ids)], share_inputs=True)

    def padded(self, rows: Sequence[TokenRow]) -> list[Ids]:
        """The inputs of the graph: ids, types and mask, each of shape (rows, padded length)."""
        shape = (len(rows), self._padded_length(max(len(row.ids) for row in rows)))
        ids = np.full(shape, self._padding, np.int32)
        types = np.zeros(shape, np.int32)
        mask = np.zeros(shape, np.int32)
        for line, row in enumerate(rows):
            length = len(row.ids)
            ids[line, :length] = row.ids
            types[line, row.passage_at : length] = 1
            mask[line, :length] = 1
        return [ids, types, mask]

    def _padded_length(self, longest: int) -> int:
        if self.precision == "fp32":  # padding gains nothing
            return longest
        step = INT8_STEP if self.precision == "int8" else 1
        return padded_length(longest, step, self.max_tokens)


def load_network(
    folder: Path,
    config: EncoderConfig,
    padding: int,
    wanted: str,
    threads: int | None,
    statistics: Statistics,
) -> OpenVinoNetwork:
    """Loads the network of a model folder.

    Args:
        wanted: the precision; "auto" is the faster of fp32 and bf16 on this machine.
        threads: how many threads compute; None for all processors of this process.
        padding, statistics: as for `OpenVinoNetwork`.

    Raises:
        ModelError: there is no such precision, or the weights are incomplete or damaged.
    """
    precision = choose_precision(wanted, config)
    files = model_files(folder)
    version = model_version(folder, files)
    kept = graph_file(version, precision)

    def graph() -> ov.Model:
        if precision == "int8":
            raise ModelError(
                f"{model_name(folder)} has no graph in int8 here; keymiss.bench.reader_speed makes "
                "one"
            )
        return build_graph(config, load_weights(folder))

    compiled = compile_kept(kept, choose_arithmetic(precision, config), graph, threads)
    if precision == "int8":  # int8 answers depend on the calibration
        version = model_version(folder, [*files, kept.with_suffix(".bin")])
    return OpenVinoNetwork(compiled, config, padding, precision, version, statistics)
