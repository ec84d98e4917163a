"""Readers in int8: weights and the inputs of the matrix products rounded to 8 bits, by NNCF.

Needs the extra `quantize`. Ranges are calibrated on questions of the domain (post-training
quantization, Jacob et al. 2018, arXiv:1712.05877; outliers are moved from activations into weights
as in SmoothQuant, Xiao et al. 2023, arXiv:2211.10438). Where the answers get worse by more than is
allowed, the products whose rounding costs most are computed in full precision again.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import openvino as ov

from keymiss.reader.checkpoint import model_files, model_version
from keymiss.reader.config import load_config
from keymiss.reader.engine import compile_graph, graph_file, keep_graph
from keymiss.reader.errors import ModelError
from keymiss.reader.graph import build_graph
from keymiss.reader.precision import in_turn
from keymiss.reader.reader import Reader
from keymiss.reader.weights import load_weights

SAMPLES = 300
"""Windows that the ranges are calibrated on: NNCF's own default."""

MOST_LOST = 0.6
"""Points of F1."""

TIMED = 8
"""Questions that both are timed with."""

Score = Callable[[Reader, Sequence[int]], Sequence[float]]
"""F1 of a reader, between 0 and 1, on each of these questions, by their indices."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """What it cost: F1 in percent of the same questions before and after, and where it is kept."""

    questions: int
    f1: float
    f1_int8: float
    full_precision: int
    """Matrix products that are computed in full precision still."""
    speedup: float
    """fp32's time over int8's, on this machine: without VNNI or AMX there is nothing to gain."""
    path: str


def quantize(folder: Path, pairs: Sequence[tuple[str, str]], score: Score) -> Quantization:
    """Quantizes a model; `Reader.from_pretrained(folder, "int8")` finds it then.

    Args:
        folder: the model.
        pairs: questions, each with a passage.
        score: how well a reader answers them.

    Raises:
        ModelError: NNCF is not installed, or the answers lose more than `MOST_LOST` points of F1.
    """
    nncf = _nncf()
    reader = Reader.from_pretrained(folder, "fp32")
    path = graph_file(model_version(folder, model_files(folder)), "int8")
    everything = range(len(pairs))

    def int8(graph: ov.Model) -> Reader:
        return reader.with_graph(compile_graph(graph, "int8"))

    def percent(one: Reader) -> float:
        return 100 * statistics.fmean(score(one, everything))

    before = percent(reader)
    quantized = nncf.quantize(
        _graph(folder), _samples(nncf, reader, pairs), model_type=nncf.ModelType.TRANSFORMER
    )
    rounded = int8(quantized)
    after = percent(rounded)
    if before - after > MOST_LOST:
        quantized = _restored(nncf, folder, reader, pairs, score)
        rounded = int8(quantized)
        after = percent(rounded)
    if before - after > MOST_LOST:
        raise ModelError(
            f"{folder} loses too much in int8: F1 {before:.2f} becomes {after:.2f} on "
            f"{len(pairs)} questions, and at most {MOST_LOST} may be lost; use bf16 or fp32"
        )
    keep_graph(quantized, "int8", path)
    return Quantization(
        questions=len(pairs),
        f1=round(before, 2),
        f1_int8=round(after, 2),
        full_precision=_full_precision(quantized),
        speedup=_speedup(reader, rounded, pairs[:TIMED]),
        path=str(path.parent),
    )


def _speedup(exact: Reader, rounded: Reader, pairs: Sequence[tuple[str, str]]) -> float:
    seconds = in_turn(
        {"fp32": partial(exact.read_batch, pairs), "int8": partial(rounded.read_batch, pairs)}
    )
    return round(seconds["fp32"] / seconds["int8"], 2)


def _nncf() -> ModuleType:
    try:
        import nncf
    except ImportError:
        raise ModelError("quantizing needs NNCF: pip install 'keymiss[quantize]'") from None
    module: ModuleType = nncf
    return module


def _graph(folder: Path) -> ov.Model:
    return build_graph(load_config(folder), load_weights(folder))


def _samples(nncf: ModuleType, reader: Reader, pairs: Sequence[tuple[str, str]]) -> Any:
    """Windows from the whole set, not from its beginning only."""
    step = max(1, len(pairs) // SAMPLES)
    return nncf.Dataset(list(reader.inputs(pairs[::step]))[:SAMPLES])


def _restored(
    nncf: ModuleType,
    folder: Path,
    reader: Reader,
    pairs: Sequence[tuple[str, str]],
    score: Score,
) -> ov.Model:
    """Quantized but for the products whose rounding costs most F1."""

    def validate(compiled: ov.CompiledModel, chosen: Iterable[int]) -> tuple[float, list[float]]:
        scores = list(score(reader.with_graph(compiled), list(chosen)))
        return statistics.fmean(scores), scores

    return nncf.quantize_with_accuracy_control(
        _graph(folder),
        _samples(nncf, reader, pairs),
        nncf.Dataset(list(range(len(pairs)))),
        validate,
        max_drop=MOST_LOST / 100,
        model_type=nncf.ModelType.TRANSFORMER,
    )


def _full_precision(graph: ov.Model) -> int:
    products = [node for node in graph.get_ops() if node.get_type_name() == "MatMul"]
    return sum(
        node.input_value(0).get_node().get_type_name() != "FakeQuantize" for node in products
    )
