"""Finds the shortest time in which any reader could read a workload on this machine.

It is the larger of two times. The first is the number of multiply-adds, divided by the best rate of
matrix products that any engine reaches in that precision. The second is the number of bytes of the
weights, divided by the rate at which memory is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset15 as op

from keymiss.bench.reader_pairs import Pairs
from keymiss.bench.stopwatch import milliseconds
from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.network import PRECISIONS, Precision
from keymiss.reader.openvino.arithmetic_probe import choose_arithmetic
from keymiss.reader.openvino.kept_graphs import Arithmetic, compile_graph

BYTES = {"fp32": 4, "bf16": 2, "int8": 1}

GEMM_ROWS = 384
"""How many tokens one matrix product covers: those of the workload `8x48`."""


def gemm_rates(config: EncoderConfig) -> dict[Precision, float]:
    """The best rate of any engine for the model's matrices, in 10^9 multiply-adds a second.

    It is the rate of the three shapes together, each as often as it occurs in a layer.
    """
    hidden, inner = config.hidden, config.inner
    shapes = [(hidden, hidden)] * 4 + [(hidden, inner), (inner, hidden)]
    work = {
        "torch fp32": _torch_products(shapes, torch.float32),
        "torch bf16": _torch_products(shapes, torch.bfloat16),
        "torch int8": _torch_products(shapes, torch.int8),
        **{
            f"openvino {each}": _openvino_products(shapes, each, choose_arithmetic(each, config))
            for each in PRECISIONS
        },
    }
    best: dict[str, float] = {}
    for name, run in list(work.items()) * 3:
        # Many runs in a row, because the threads of the previous engine spin for a while.
        best[name] = min([best.get(name, np.inf), *(milliseconds(run) for _ in range(50))])
    count = GEMM_ROWS * sum(rows * columns for rows, columns in shapes)
    return {
        each: max(count / best[name] / 1e6 for name in best if name.endswith(each))
        for each in PRECISIONS
    }


def _torch_products(shapes: Sequence[tuple[int, int]], dtype: torch.dtype) -> Callable[[], Any]:
    left = {rows: torch.randn(GEMM_ROWS, rows).to(dtype) for rows, _ in shapes}
    right = [torch.randn(columns, rows).to(dtype) for rows, columns in shapes]

    def run() -> None:
        with torch.inference_mode():
            for (rows, _), matrix in zip(shapes, right, strict=True):
                if dtype == torch.int8:
                    torch._int_mm(left[rows], matrix.T)
                else:
                    torch.nn.functional.linear(left[rows], matrix)

    return run


def _openvino_products(
    shapes: Sequence[tuple[int, int]], precision: Precision, arithmetic: Arithmetic
) -> Callable[[], Any]:
    """Each product in its own graph; in int8, the graph rounds its input and has int8 weights."""
    generator = np.random.default_rng(0)
    calls = []
    for rows, columns in shapes:
        left = op.parameter([GEMM_ROWS, rows], np.float32)
        given: Any = left
        matrix: Any = op.constant(generator.standard_normal((columns, rows), np.float32))
        if precision == "int8":
            low, high = (op.constant(np.float32(bound)) for bound in (-4, 4 * 127 / 128))
            given = op.fake_quantize(left, low, high, low, high, 256)
            rounded = generator.integers(-127, 128, (columns, rows), dtype=np.int8)
            scales = op.constant(np.full((columns, 1), 0.01, np.float32))
            matrix = op.multiply(op.convert(op.constant(rounded), "f32"), scales)
        graph = ov.Model([op.matmul(given, matrix, False, True)], [left])
        request = compile_graph(graph, arithmetic).create_infer_request()
        calls.append((request, generator.standard_normal((GEMM_ROWS, rows), np.float32)))

    def run() -> None:
        for request, array in calls:
            request.infer([array], share_inputs=True)

    return run


def memory_rate() -> float:
    """How many bytes a second all processors together read from memory."""
    array = torch.ones(1 << 28)
    seconds = min(milliseconds(array.sum) for _ in range(10)) / 1000
    return float(array.numel() * 4 / seconds)


def ceiling_ms(
    config: EncoderConfig, pairs: Pairs, precision: Precision, rate: float, memory: float
) -> float:
    """The shortest time, in milliseconds, in which this machine can read these pairs.

    Args:
        rate: the rate of matrix products, from `gemm_rates`.
        memory: the rate of memory, from `memory_rate`.
    """
    matrices = config.layers * (4 * config.hidden**2 + 2 * config.hidden * config.inner)
    products = sum(pairs.lengths) * matrices
    attention = sum(2 * config.layers * config.hidden * each**2 for each in pairs.lengths)
    arithmetic = (products + attention) / (rate * 1e6)
    return max(arithmetic, 1000 * matrices * BYTES[precision] / memory)
