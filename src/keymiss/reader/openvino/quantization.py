"""Makes readers in int8: NNCF rounds weights and the inputs of matrix products to 8 bits.

This needs the extra `quantize`. Ranges are calibrated on questions of the domain (post-training
quantization, Jacob et al. 2018, arXiv:1712.05877; outliers are moved from activations into weights
as in SmoothQuant, Xiao et al. 2023, arXiv:2211.10438). When the answers get worse by more than is
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
"""How many windows the ranges are calibrated on: NNCF's own default."""

MOST_F1_LOST = 0.6
"""How many points of F1 the int8 version may lose, at most."""

TIMED = 8
"""How many questions fp32 and int8 are timed with."""

ODD = 1.0001
"""The factor by which one channel or head differs from the others, far less than the rounding."""

Score = Callable[[Reader, Sequence[int]], Sequence[float]]
"""This returns a reader's F1, between 0 and 1, on each of the questions with these indices."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """The result: F1 in percent on the same questions before and after, and the graph's folder."""

    questions: int
    f1: float
    f1_int8: float
    full_precision: int
    """How many matrix products are left in full precision, not counting those after a softmax."""
    speedup: float
    """fp32's time divided by int8's on this machine. Without VNNI or AMX there is no gain."""
    path: str


def quantize(folder: Path, pairs: Sequence[tuple[str, str]], score: Score) -> Quantization:
    """Quantizes a model, so that `Reader.from_pretrained(folder, "int8")` finds it.

    Args:
        folder: the model's folder.
        pairs: questions, each with a passage.
        score: measures how well a reader answers the questions.

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

    The compiler writes a number that holds for a whole tensor, such as a range of rounding, into
    the code of a kernel. Each layer then has its own kernels, made for every shape that has not
    been read before. In BERT-large that takes as long as reading a sentence. Numbers for each
    channel or head are data that a kernel reads, so layers can share it. If all of these numbers
    were equal, the compiler would turn them into one number, so one of them differs.
    """
    for node in graph.get_ops():
        if node.get_type_name() == "FakeQuantize":
            _round_by_channel(node)
        elif node.get_type_name() == "Softmax":
            _scale_by_head(node)
    graph.validate_nodes_and_infer_types()


def _round_by_channel(rounded: ov.Node) -> None:
    """Gives the rounding after a GELU a range for each channel, divided by SmoothQuant's factors.

    In other places OpenVINO 2026.4 applies such ranges to another axis. If it did so here, the F1
    that `quantize` measures would show it.
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
    """Puts a factor of about 1 for each head before the softmax; rounding factors merge into it."""
    biased = softmax.input_value(0).get_node()
    scores = biased.input_value(0)
    factors = np.ones((1, scores.get_partial_shape()[1].get_length(), 1, 1), np.float32)
    factors[:, 0] = ODD
    scaled = op.multiply(scores, op.constant(factors))
    biased.input(0).replace_source_output(scaled.output(0))


def _unsmoothed(source: ov.Output) -> tuple[ov.Output, Array]:
    """What SmoothQuant multiplies, with its factors; any other source with a factor of 1."""
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
    """A reader of the same model that computes with another graph."""
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
    """Windows from the whole set, not only from its beginning."""
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
    """The quantized graph, without the rounding of the products where it costs most F1."""

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
