"""Finds out by a short probe which arithmetic is fastest on this machine.

The processor's flags do not tell: with the same flags, bf16 takes half the time of fp32 on one
machine and one and a half times as long on another.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar, cast, get_args

import numpy as np
import openvino as ov

from keymiss.errors import ModelError
from keymiss.reader.checkpoint import READING
from keymiss.reader.cpu_info import processor_name
from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.model_cache import default_cache, read_object, write_object
from keymiss.reader.network import Precision
from keymiss.reader.openvino.encoder_graph import build_graph
from keymiss.reader.openvino.kept_graphs import Arithmetic, compile_graph
from keymiss.reader.weights import Array, Weights

Name = TypeVar("Name", bound=str)

PROBED: tuple[Arithmetic, ...] = ("fp32", "bf16")

SHAPE = (4, 64)
"""The shape of the probe's input: four windows of 64 tokens."""

RUNS = 7
WORTH_IT = 0.95
"""bf16 is less exact, so it is taken only when it needs less than this share of fp32's time."""


def choose_precision(wanted: str, config: EncoderConfig) -> Precision:
    """The precision to compute in: the wanted one, or the faster one for "auto".

    The outcome of the probe is kept in `~/.cache/keymiss/precision.json`.

    Raises:
        ModelError: there is no such precision.
    """
    if wanted != "auto":
        known = get_args(Precision)
        if wanted not in known:
            raise ModelError(f"the precision {wanted!r} is not one of auto, {', '.join(known)}")
        return cast(Precision, wanted)
    return _faster(config)


def choose_arithmetic(precision: Precision, config: EncoderConfig) -> Arithmetic:
    """The arithmetic for a precision. In int8, what is not rounded uses the faster arithmetic."""
    return _faster(config) if precision == "int8" else precision


def _faster(config: EncoderConfig) -> Arithmetic:
    path = default_cache() / "precision.json"
    name = _machine(config)
    outcomes = read_object(path)
    if outcomes.get(name) not in PROBED:  # a damaged file may hold anything
        outcomes[name] = probe(config)
        write_object(path, outcomes)
    return cast(Arithmetic, outcomes[name])


def probe(config: EncoderConfig) -> Arithmetic:
    """The faster precision for one random layer of the model's width."""
    layer = replace(config, vocabulary=64, layers=1)
    requests = {
        precision: compile_graph(
            build_graph(layer, _RandomWeights()), precision
        ).create_infer_request()
        for precision in PROBED
    }
    ids = np.zeros(SHAPE, np.int32)
    inputs = [ids, ids, np.ones(SHAPE, np.int32)]
    work = {
        precision: partial(request.infer, inputs, share_inputs=True)
        for precision, request in requests.items()
    }
    seconds = in_turn(work)
    return "bf16" if seconds["bf16"] < WORTH_IT * seconds["fp32"] else "fp32"


def in_turn(work: Mapping[Name, Callable[[], object]]) -> dict[Name, float]:
    """The median seconds of each. They run in rounds, so that a disturbance affects all of them."""
    seconds: dict[Name, list[float]] = {name: [] for name in work}
    for run in range(RUNS + 1):
        for name, once in work.items():
            started = time.perf_counter()
            once()
            if run:  # the first round compiles kernels
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


class _RandomWeights(Weights):
    """Random weights for every name and shape."""

    def __init__(self) -> None:
        super().__init__(Path(), {})
        self._random = np.random.default_rng(0)

    def get(self, name: str, *shape: int) -> Array:
        return self._random.normal(0, 0.02, shape).astype(np.float32)


def _machine(config: EncoderConfig) -> str:
    cores = len(os.sched_getaffinity(0))
    processor = processor_name()
    shape = f"{config.hidden}x{config.inner}x{config.heads}"
    return f"{processor}, {cores} cores, openvino {ov.__version__}, {shape}, reading {READING}"
