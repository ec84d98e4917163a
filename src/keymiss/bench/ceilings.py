"""Finds the shortest time in which any reader could read a workload on this machine.

It is the larger of two times. The first is the number of multiply-adds, divided by the rate at
which the processor multiplies numbers that are in its registers already. The second is the number
of bytes of the weights, divided by the rate at which memory is read.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from keymiss.bench.reader_pairs import Pairs
from keymiss.bench.stopwatch import milliseconds
from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.engine.engine_library import instruction_set
from keymiss.reader.network import PRECISIONS, Precision

BYTES = {"fp32": 4, "bf16": 2, "int8": 1}

SETS = ("avx2", "fma", "avx512f", "avx512bf16", "avx512vnni", "amx-tile", "amx-bf16", "amx-int8")
"""Of the instructions in peak_rates.c; the compiler need not run them."""

REPETITIONS = 100_000


def peak_rates() -> dict[Precision, float]:
    """How many multiply-adds all processors together do on registers, in 10^9 a second.

    In each precision it is the rate of the instructions that the engine multiplies with here.
    """
    source = Path(__file__).parent / "peak_rates.c"
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "peak_rates.so"
        flags = ["-O2", "-shared", "-fPIC", *[f"-m{each}" for each in SETS]]
        subprocess.run([os.environ.get("CC", "cc"), *flags, source, "-o", built], check=True)
        library = ctypes.CDLL(str(built))
    return {each: _peak_rate(library, each) for each in PRECISIONS}


def _peak_rate(library: ctypes.CDLL, precision: Precision) -> float:
    used = instruction_set(precision)  # it asks for AMX, too, where there is AMX
    name = f"fp32_{instruction_set('fp32')}" if used == "portable" else f"{precision}_{used}"
    repeat = library[name.replace("-", "_")]
    repeat.argtypes, repeat.restype = [ctypes.c_long], ctypes.c_long
    threads = len(os.sched_getaffinity(0))
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(20):
            started = time.perf_counter()
            counts = list(pool.map(repeat, [REPETITIONS] * threads))
            best = max(best, sum(counts) * REPETITIONS / (time.perf_counter() - started) / 1e9)
    return best


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
        rate: the rate of multiply-adds, from `peak_rates`.
        memory: the rate of memory, from `memory_rate`.
    """
    matrices = config.layers * (4 * config.hidden**2 + 2 * config.hidden * config.inner)
    products = sum(pairs.lengths) * matrices
    attention = sum(2 * config.layers * config.hidden * each**2 for each in pairs.lengths)
    arithmetic = (products + attention) / (rate * 1e6)
    return max(arithmetic, 1000 * matrices * BYTES[precision] / memory)
