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

import numpy as np
import openvino as ov
from openvino import opset15 as op

from keymiss.errors import ModelError, missing_extra
from keymiss.reader.checkpoint import model_files, model_version
from keymiss.reader.encoder_config import EncoderConfig, load_config
from keymiss.reader.openvino.encoder_graph import build_graph
from keymiss.reader.openvino.kept_graphs import compile_graph, graph_file, keep_graph
from keymiss.reader.openvino.openvino_network import OpenVinoNetwork
from keymiss.reader.openvino.precision import choose_arithmetic, in_turn
from keymiss.reader.reader import Reader
from keymiss.reader.reader_statistics import Statistics
from keymiss.reader.weights import Array, load_weights

SAMPLES = 300
"""Windows that the ranges are calibrated on: NNCF's own default."""

MOST_F1_LOST = 0.6
"""Points of F1."""

TIMED = 8
"""Questions that both are timed with."""

ODD = 1.0001
"""By this factor one channel or head differs from the others: far less than what is rounded."""

Score = Callable[[Reader, Sequence[int]], Sequence[float]]
"""F1 of a reader, between 0 and 1, on each of these questions, by their indices."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """What it cost: F1 in percent of the same questions before and after, and where it is kept."""

    questions: int
    f1: float
    f1_int8: float
    full_precision: int
    """Matrix products that are computed in full precision still, but for those behind a softmax."""
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
        SetupError: NNCF is not installed.
        ModelError: the answers lose more than `MOST_F1_LOST` points of F1.
    """
    nncf = _nncf()
    reader = Reader.from_pretrained(folder, "fp32")
    config = load_config(folder)
    arithmetic = choose_arithmetic("int8", config)
    path = graph_file(model_version(folder, model_files(folder)), "int8")
    everything = range(len(pairs))

    def int8(graph: ov.Model) -> Reader:
        return _with_graph(reader, config, compile_graph(graph, arithmetic))

    def percent(one: Reader) -> float:
        return 100 * statistics.fmean(score(one, everything))

    before = percent(reader)
    quantized = nncf.quantize(
        _graph(folder), _samples(nncf, reader, pairs), model_type=nncf.ModelType.TRANSFORMER
    )
    share_kernels(quantized)
    rounded = int8(quantized)
    after = percent(rounded)
    if before - after > MOST_F1_LOST:
        quantized = _restored(nncf, folder, reader, pairs, score)
        share_kernels(quantized)
        rounded = int8(quantized)
        after = percent(rounded)
    if before - after > MOST_F1_LOST:
        raise ModelError(
            f"{folder} loses too much in int8: F1 {before:.2f} becomes {after:.2f} on "
            f"{len(pairs)} questions, and at most {MOST_F1_LOST} may be lost; use bf16 or fp32"
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


def share_kernels(graph: ov.Model) -> None:
    """Lets all layers share their kernels.

    The compiler writes numbers that are the same for a whole tensor into the code of a kernel, such
    as the range of what is rounded. Each layer has kernels of its own then, made anew for every
    shape that has not been read before, which takes BERT-large as long as a sentence. Numbers by
    channel or by head are data that a kernel reads. Were all the same, the compiler would make one
    of them again, so that one differs.
    """
    for node in graph.get_ops():
        if node.get_type_name() == "FakeQuantize":
            _round_by_channel(node)
        elif node.get_type_name() == "Softmax":
            _scale_by_head(node)
    graph.validate_nodes_and_infer_types()


def _round_by_channel(rounded: ov.Node) -> None:
    """Behind a product and its GELU: ranges of channels, which take in the factors of SmoothQuant.

    Elsewhere OpenVINO 2026.4 takes such ranges for those of another axis; the F1 that is measured
    of what is made here would tell.
    """
    source, factors = _unsmoothed(rounded.input_value(0))
    if source.get_node().get_type_name() != "Gelu":
        return
    shape = (1, 1, source.get_partial_shape()[-1].get_length())
    low, high = (
        np.broadcast_to(_values(rounded.input_value(index)) / factors, shape).copy()
        for index in (1, 2)
    )
    low[..., 0] *= np.float32(ODD)
    ranges = (op.constant(low), op.constant(high))
    outputs = (rounded.input_value(3), rounded.input_value(4))
    by_channel = op.fake_quantize(source, *ranges, *outputs, rounded.get_levels())
    for target in rounded.output(0).get_target_inputs():
        target.replace_source_output(by_channel.output(0))


def _scale_by_head(softmax: ov.Node) -> None:
    """In front of the attention's softmax: a factor of 1 that takes in those of the rounding."""
    biased = softmax.input_value(0).get_node()
    scores = biased.input_value(0)
    factors = np.ones((1, scores.get_partial_shape()[1].get_length(), 1, 1), np.float32)
    factors[:, 0] = ODD
    scaled = op.multiply(scores, op.constant(factors))
    biased.input(0).replace_source_output(scaled.output(0))


def _unsmoothed(source: ov.Output) -> tuple[ov.Output, Array]:
    """What SmoothQuant multiplies, and by which factors; anything else as it is."""
    node = source.get_node()
    if node.get_type_name() == "Multiply":
        inputs = [node.input_value(index) for index in (0, 1)]
        for values, other in (inputs, reversed(inputs)):
            if values.get_node().get_type_name() == "Constant":
                return other, _values(values)
    return source, np.ones(1, np.float32)


def _values(constant: ov.Output) -> Array:
    values: Array = np.array(constant.get_node().data, np.float32)
    return values


def _with_graph(reader: Reader, config: EncoderConfig, compiled: ov.CompiledModel) -> Reader:
    """A reader of the same model that computes with another graph of it."""
    padding, statistics = reader.tokenizer.special.padding, Statistics()
    network = OpenVinoNetwork(compiled, config, padding, "fp32", reader.version, statistics)
    return Reader(reader.name, reader.tokenizer, network, reader.calibration, statistics)


def _speedup(exact: Reader, rounded: Reader, pairs: Sequence[tuple[str, str]]) -> float:
    seconds = in_turn(
        {"fp32": partial(exact.read_batch, pairs), "int8": partial(rounded.read_batch, pairs)}
    )
    return round(seconds["fp32"] / seconds["int8"], 2)


def _nncf() -> ModuleType:
    try:
        import nncf
    except ImportError:
        raise missing_extra("NNCF", "quantize") from None
    module: ModuleType = nncf
    return module


def _graph(folder: Path) -> ov.Model:
    return build_graph(load_config(folder), load_weights(folder))


def _samples(nncf: ModuleType, reader: Reader, pairs: Sequence[tuple[str, str]]) -> Any:
    """Windows from the whole set, not from its beginning only."""
    step = max(1, len(pairs) // SAMPLES)
    rows = reader.rows(pairs[::step])[:SAMPLES]
    network = reader.network
    assert isinstance(network, OpenVinoNetwork)
    return nncf.Dataset([network.padded([row.tokens]) for row in rows])


def _restored(
    nncf: ModuleType,
    folder: Path,
    reader: Reader,
    pairs: Sequence[tuple[str, str]],
    score: Score,
) -> ov.Model:
    """Quantized but for the products whose rounding costs most F1."""

    def validate(compiled: ov.CompiledModel, chosen: Iterable[int]) -> tuple[float, list[float]]:
        rounded = _with_graph(reader, load_config(folder), compiled)
        scores = list(score(rounded, list(chosen)))
        return statistics.fmean(scores), scores

    return nncf.quantize_with_accuracy_control(
        _graph(folder),
        _samples(nncf, reader, pairs),
        nncf.Dataset(list(range(len(pairs)))),
        validate,
        max_drop=MOST_F1_LOST / 100,
        model_type=nncf.ModelType.TRANSFORMER,
    )


def _full_precision(graph: ov.Model) -> int:
    products = [node for node in graph.get_ops() if node.get_type_name() == "MatMul"]
    inputs = [node.input_value(0).get_node().get_type_name() for node in products]
    return sum(name not in {"FakeQuantize", "Softmax"} for name in inputs)
