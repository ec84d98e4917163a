"""Rounds models to int8 for OpenVINO, with NNCF, so that the engine can be compared with it."""

from __future__ import annotations

from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from openvino import opset15 as op

from keymiss.bench.reader_pairs import SHORT_QUESTION, Pairs
from keymiss.reader import BUNDLED_FOLDER, Tokenizer
from keymiss.reader.checkpoint import model_files, model_version
from keymiss.reader.encoder_config import load_config
from keymiss.reader.network import Ids
from keymiss.reader.openvino.encoder_graph import build_graph
from keymiss.reader.openvino.kept_graphs import graph_file, keep_graph
from keymiss.reader.weights import Array, load_weights

ODD = 1.0001
"""The factor by which one channel or head differs from the others, far less than the rounding."""


def quantize_roughly(folder: Path) -> None:
    """Rounds a model to int8 without a look at its answers, since random weights give none."""
    path = graph_file(model_version(folder, model_files(folder)), "int8")
    if path.exists():
        return
    (question,) = Tokenizer(BUNDLED_FOLDER).encode([SHORT_QUESTION])
    graph = build_graph(load_config(folder), load_weights(folder))
    quantized = _quantized(graph, question)
    share_kernels(quantized)
    keep_graph(quantized, "int8", path)


def _quantized(graph: ov.Model, question: Ids) -> ov.Model:
    samples = []
    for length in range(24, 72, 4):
        ids, types, mask = Pairs((length,)).arrays(question)
        samples.append([ids, types, mask])
    model_type = nncf.ModelType.TRANSFORMER
    return nncf.quantize(graph, nncf.Dataset(samples), model_type=model_type)


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

    In other places OpenVINO 2026.4 applies such ranges to another axis.
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
