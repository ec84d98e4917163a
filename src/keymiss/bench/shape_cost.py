"""Measures shapes of calls: the time by length and for unseen shapes, and the memory of kernels.

python -m keymiss.bench.shape_cost [--model NAME_OR_FOLDER] [--precision fp32|bf16|int8]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import openvino as ov

from keymiss.bench.bench_processes import resident_bytes
from keymiss.bench.stopwatch import milliseconds
from keymiss.reader import Reader, model_folder
from keymiss.reader.checkpoint import model_files, model_version
from keymiss.reader.encoder_config import load_config
from keymiss.reader.network import Ids, Precision
from keymiss.reader.openvino.arithmetic_probe import choose_arithmetic
from keymiss.reader.openvino.kept_graphs import KEPT_KERNELS, graph_file, options
from keymiss.reader.openvino.padding import SLOW_REST, VECTOR

LENGTHS = range(32, 65, 2)
ROWS = (1, 8)
ROUNDS = 11
NEW_SHAPES = 1600


def make_call(name: str, precision: Precision) -> Callable[[int, int], None]:
    """A function that calls the graph of a model alone, with rows of a length."""
    folder = model_folder(name)
    Reader.from_pretrained(folder, precision)  # this keeps the graph, or raises the reason why not
    path = graph_file(model_version(folder, model_files(folder)), precision)
    arithmetic = choose_arithmetic(precision, load_config(folder))
    compiled = ov.Core().compile_model(path, "CPU", options(arithmetic))
    request = compiled.create_infer_request()

    def call(rows: int, length: int) -> None:
        request.infer(arrays(rows, length), share_inputs=True)

    return call


def arrays(rows: int, length: int) -> list[Ids]:
    """Ids, types and mask without padding."""
    ids = np.full((rows, length), 1000, np.int32)
    return [ids, np.zeros_like(ids), np.ones_like(ids)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="minilm-qa")
    parser.add_argument("--precision", default="bf16", choices=get_args(Precision))
    arguments = parser.parse_args()
    read = make_call(arguments.model, arguments.precision)
    calls = {(rows, length): partial(read, rows, length) for rows in ROWS for length in LENGTHS}
    first = {shape: milliseconds(call) for shape, call in calls.items()}
    changed: dict[tuple[int, int], list[float]] = {shape: [] for shape in calls}
    times: dict[tuple[int, int], list[float]] = {shape: [] for shape in calls}
    for _ in range(ROUNDS):
        for shape, call in random.sample(list(calls.items()), len(calls)):
            # A call after one of another shape takes longer.
            changed[shape].append(milliseconds(call))
            times[shape].append(milliseconds(call))
    print(
        f"{arguments.model} in {arguments.precision}: ms of {ROWS[0]} and {ROWS[-1]} rows by length"
    )
    medians = {shape: statistics.median(each) for shape, each in times.items()}
    for length in LENGTHS:
        shown = "".join(f"{medians[rows, length]:9.2f}" for rows in ROWS)
        print(f"{length:4}{shown}{'  padded' * (length % VECTOR >= SLOW_REST)}")
    new = statistics.median(first[shape] - statistics.median(changed[shape]) for shape in calls)
    print(f"a shape not read before takes {new:.1f} ms more")
    before = resident_bytes(os.getpid())
    others = [(rows, length) for rows in range(1, 17) for length in range(20, 120)]
    for shape in random.sample(others, NEW_SHAPES):
        read(*shape)
    grown = (resident_bytes(os.getpid()) - before) >> 20
    print(f"{NEW_SHAPES} more shapes take {grown} MiB, with {KEPT_KERNELS} kernels kept at most")


if __name__ == "__main__":
    main()
