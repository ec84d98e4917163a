"""BERT with a span head as an OpenVINO graph, built straight from the weights.

The architecture is that of Devlin et al. 2018 (arXiv:1810.04805), post-layer-norm as in the paper's
own code. Constants keep their stored type: float16 weights stay float16 in memory behind a
conversion that the compiler folds into its own layout.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset15 as op

from keymiss.reader.config import BertConfig
from keymiss.reader.weights import Array, Weights

MASKED = np.float32(-10000.0)
"""Added to the attention scores of padding: the softmax leaves nothing of it, in bf16 too."""


def build_graph(config: BertConfig, weights: Weights) -> ov.Model:
    """Builds the model.

    Inputs, all int32 of shape (batch, length): `input_ids`, `token_type_ids`, `attention_mask`
    (1 for a token, 0 for padding). Output: float32 (batch, length, 2), the start and end logits.

    Raises:
        ModelError: a weight is missing or has the wrong shape.
    """
    ids, types, mask = (
        op.parameter([-1, -1], np.int32, name=name)
        for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    states = _embeddings(config, weights, ids, types)
    bias = _attention_bias(mask)
    for layer in range(config.num_hidden_layers):
        states = _layer(config, weights, f"bert.encoder.layer.{layer}", states, bias)
    logits = _dense(weights, "qa_outputs", states, config.hidden_size, 2)
    return ov.Model([logits], [ids, types, mask], "bert-question-answering")


def _constant(array: Array) -> ov.Output:
    node = op.constant(array)
    return node if array.dtype == np.float32 else op.convert(node, "f32")


def _embeddings(
    config: BertConfig, weights: Weights, ids: ov.Output, types: ov.Output
) -> ov.Output:
    def table(name: str, rows: int) -> ov.Output:
        return _constant(weights.get(f"bert.embeddings.{name}.weight", rows, config.hidden_size))

    axis = op.constant(0)
    length = op.gather(op.shape_of(ids, "i32"), op.constant(1), axis)
    positions = op.range(op.constant(0), length, op.constant(1), output_type="i32")
    summed = op.add(
        op.add(
            op.gather(table("word_embeddings", config.vocab_size), ids, axis),
            op.gather(table("token_type_embeddings", config.type_vocab_size), types, axis),
        ),
        op.gather(table("position_embeddings", config.max_position_embeddings), positions, axis),
    )
    return _layer_norm(config, weights, "bert.embeddings.LayerNorm", summed)


def _attention_bias(mask: ov.Output) -> ov.Output:
    """0 for tokens and MASKED for padding, shaped (batch, 1, 1, length)."""
    padding = op.subtract(op.constant(np.float32(1)), op.convert(mask, "f32"))
    axes = op.constant(np.array([1, 2], np.int32))
    return op.unsqueeze(op.multiply(padding, op.constant(MASKED)), axes)


def _dense(weights: Weights, name: str, states: ov.Output, inputs: int, outputs: int) -> ov.Output:
    matrix = _constant(weights.get(f"{name}.weight", outputs, inputs))
    product = op.matmul(states, matrix, False, True)
    return op.add(product, _constant(weights.get(f"{name}.bias", outputs)))


def _layer_norm(config: BertConfig, weights: Weights, name: str, states: ov.Output) -> ov.Output:
    last = op.constant(np.array([-1], np.int32))
    normal = op.mvn(states, last, True, config.layer_norm_eps, "inside_sqrt")
    scaled = op.multiply(normal, _constant(weights.get(f"{name}.weight", config.hidden_size)))
    return op.add(scaled, _constant(weights.get(f"{name}.bias", config.hidden_size)))


def _layer(
    config: BertConfig, weights: Weights, name: str, states: ov.Output, bias: ov.Output
) -> ov.Output:
    hidden, inner = config.hidden_size, config.intermediate_size
    attended = _attention(config, weights, f"{name}.attention", states, bias)
    projected = _dense(weights, f"{name}.attention.output.dense", attended, hidden, hidden)
    states = _layer_norm(
        config, weights, f"{name}.attention.output.LayerNorm", op.add(states, projected)
    )
    widened = op.gelu(_dense(weights, f"{name}.intermediate.dense", states, hidden, inner), "erf")
    narrowed = _dense(weights, f"{name}.output.dense", widened, inner, hidden)
    return _layer_norm(config, weights, f"{name}.output.LayerNorm", op.add(states, narrowed))


def _attention(
    config: BertConfig, weights: Weights, name: str, states: ov.Output, bias: ov.Output
) -> ov.Output:
    hidden, heads = config.hidden_size, config.num_attention_heads
    split = op.constant(np.array([0, 0, heads, hidden // heads], np.int32))
    swap = op.constant(np.array([0, 2, 1, 3], np.int32))

    def projection(part: str) -> ov.Output:
        flat = _dense(weights, f"{name}.self.{part}", states, hidden, hidden)
        return op.transpose(op.reshape(flat, split, True), swap)

    attended = op.scaled_dot_product_attention(
        projection("query"), projection("key"), projection("value"), bias
    )
    joined = op.constant(np.array([0, 0, hidden], np.int32))
    return op.reshape(op.transpose(attended, swap), joined, True)
