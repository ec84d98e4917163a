"""Builds BERT and related models with a span head as OpenVINO graphs, from their weights.

The architecture is that of Devlin et al. 2018 (arXiv:1810.04805), post-layer-norm as in the paper's
own code. The families differ in their embeddings only: DistilBERT (arXiv:1910.01108) has no types,
ELECTRA (arXiv:2003.10555) may widen narrow embeddings, and RoBERTa (arXiv:1907.11692) begins its
positions after the padding token's id.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset15 as op

from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.weights import Array, Weights

MASKED = np.float32(-10000.0)
"""This is added to the attention scores of padding: the softmax makes them 0, in bf16 too."""


def build_graph(config: EncoderConfig, weights: Weights) -> ov.Model:
    """Builds the graph of a model.

    The inputs are int32 of shape (batch, length): `input_ids`, `token_type_ids`, `attention_mask`
    (1 for a token, 0 for padding). The output is float32 of shape (batch, length, 2): the start and
    end logits.

    Raises:
        ModelError: a weight is missing or has the wrong shape.
    """
    ids, types, mask = (
        op.parameter([-1, -1], np.int32, name=name)
        for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    states = _embeddings(config, weights, ids, types)
    bias = _attention_bias(mask)
    for layer in range(config.layers):
        states = _layer(config, weights, f"encoder.layer.{layer}", states, bias)
    logits = _dense(weights, "qa_outputs", states, config.hidden, 2)
    return ov.Model([logits], [ids, types, mask], f"{config.family}-question-answering")


def _constant(array: Array) -> ov.Output:
    # Always float32: after a conversion from float16, products in fp32 take 1.5 times as long.
    # float32 arrays are not copied.
    return op.constant(np.asarray(array, np.float32), shared_memory=True).output(0)


def _embeddings(
    config: EncoderConfig, weights: Weights, ids: ov.Output, types: ov.Output
) -> ov.Output:
    axis = op.constant(0)

    def look_up(name: str, rows: int, indexes: ov.Output) -> ov.Output:
        table = weights.get(f"embeddings.{name}.weight", rows, config.embedding)
        return op.gather(_constant(table), indexes, axis)

    length = op.gather(op.shape_of(ids, "i32"), op.constant(1), axis)
    first = op.constant(np.int32(config.first_position))
    positions = op.range(first, op.add(length, first), op.constant(1), output_type="i32")
    summed = op.add(
        look_up("word_embeddings", config.vocabulary, ids),
        look_up("position_embeddings", config.positions, positions),
    )
    if config.types:
        # A model with only one type has the same row for all tokens.
        row = types if config.types > 1 else op.multiply(types, op.constant(np.int32(0)))
        summed = op.add(summed, look_up("token_type_embeddings", config.types, row))
    normal = _layer_norm(config, weights, "embeddings.LayerNorm", summed, config.embedding)
    if config.embedding == config.hidden:
        return normal
    return _dense(weights, "embeddings_project", normal, config.embedding, config.hidden)


def _attention_bias(mask: ov.Output) -> ov.Output:
    """0 for tokens and MASKED for padding, of shape (batch, 1, 1, length)."""
    padding = op.subtract(op.constant(np.float32(1)), op.convert(mask, "f32"))
    axes = op.constant(np.array([1, 2], np.int32))
    return op.unsqueeze(op.multiply(padding, op.constant(MASKED)), axes)


def _dense(weights: Weights, name: str, states: ov.Output, inputs: int, outputs: int) -> ov.Output:
    matrix = _constant(weights.get(f"{name}.weight", outputs, inputs))
    product = op.matmul(states, matrix, False, True)
    return op.add(product, _constant(weights.get(f"{name}.bias", outputs)))


def _layer_norm(
    config: EncoderConfig, weights: Weights, name: str, states: ov.Output, width: int
) -> ov.Output:
    last = op.constant(np.array([-1], np.int32))
    normal = op.mvn(states, last, True, config.epsilon, "inside_sqrt")
    scaled = op.multiply(normal, _constant(weights.get(f"{name}.weight", width)))
    return op.add(scaled, _constant(weights.get(f"{name}.bias", width)))


def _layer(
    config: EncoderConfig, weights: Weights, name: str, states: ov.Output, bias: ov.Output
) -> ov.Output:
    hidden, inner = config.hidden, config.inner
    attended = _attention(config, weights, f"{name}.attention", states, bias)
    projected = _dense(weights, f"{name}.attention.output.dense", attended, hidden, hidden)
    states = _layer_norm(
        config, weights, f"{name}.attention.output.LayerNorm", op.add(states, projected), hidden
    )
    widened = op.gelu(_dense(weights, f"{name}.intermediate.dense", states, hidden, inner), "erf")
    narrowed = _dense(weights, f"{name}.output.dense", widened, inner, hidden)
    summed = op.add(states, narrowed)
    return _layer_norm(config, weights, f"{name}.output.LayerNorm", summed, hidden)


def _attention(
    config: EncoderConfig, weights: Weights, name: str, states: ov.Output, bias: ov.Output
) -> ov.Output:
    hidden, heads = config.hidden, config.heads
    split = op.constant(np.array([0, 0, heads, hidden // heads], np.int32))
    swap = op.constant(np.array([0, 2, 1, 3], np.int32))

    def projection(part: str) -> ov.Output:
        flat = _dense(weights, f"{name}.self.{part}", states, hidden, hidden)
        return op.transpose(op.reshape(flat, split, True), swap)

    # Written out, because the compiler then removes more transpositions than from OpenVINO's own
    # attention operation.
    scale = op.constant(np.float32((hidden // heads) ** -0.5))
    queries = op.multiply(projection("query"), scale)
    scores = op.add(op.matmul(queries, projection("key"), False, True), bias)
    attended = op.matmul(op.softmax(scores, -1), projection("value"), False, False)
    joined = op.constant(np.array([0, 0, hidden], np.int32))
    return op.reshape(op.transpose(attended, swap), joined, True)
