"""Which arithmetic is fastest on this machine, found out by a short probe.

The processor's flags do not tell: with the same flags, bf16 takes half the time of fp32 on one
machine and half as long again on another.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import openvino as ov

from keymiss.reader.config import EncoderConfig
from keymiss.reader.errors import ModelError
from keymiss.reader.graph import build_graph
from keymiss.reader.weights import Array, Weights

Precision = Literal["fp32", "bf16"]

HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}
"""What OpenVINO calls them."""

SHAPE = (4, 64)
"""Of the probe's input: four sentences with their neighbours."""

RUNS = 7
WORTH_IT = 0.95
"""bf16 is less exact: it is taken when it needs at most this share of fp32's time."""


def choose_precision(wanted: str, config: EncoderConfig) -> Precision:
    """The precision to compute in: the one that is wanted, or the faster one for "auto".

    The outcome of the probe is kept in `~/.cache/keymiss/precision.json`.

    Raises:
        ModelError: there is no such precision.
    """
    if wanted != "auto":
        for precision in HINTS:
            if wanted == precision:
                return precision
        raise ModelError(f"the precision {wanted!r} is none of auto, {', '.join(HINTS)}")
    path = default_cache() / "precision.json"
    name = _machine(config)
    outcomes = _read(path)
    if outcomes.get(name) not in tuple(HINTS):  # a damaged file may hold anything
        outcomes[name] = probe(config)
        _write(path, outcomes)
    return outcomes[name]


def probe(config: EncoderConfig) -> Precision:
    """Runs one random layer of the model's width in both precisions, in turn."""
    layer = replace(config, vocabulary=64, layers=1)
    requests = {
        precision: compile_graph(build_graph(layer, _RandomWeights()), precision)
        for precision in HINTS
    }
    ids = np.zeros(SHAPE, np.int32)
    inputs = [ids, ids, np.ones(SHAPE, np.int32)]
    seconds: dict[Precision, list[float]] = {precision: [] for precision in requests}
    for run in range(RUNS + 1):
        for precision, request in requests.items():
            started = time.perf_counter()
            request.infer(inputs, share_inputs=True)
            if run:  # the first one compiles kernels
                seconds[precision].append(time.perf_counter() - started)
    medians = {precision: statistics.median(times) for precision, times in seconds.items()}
    return "bf16" if medians["bf16"] < WORTH_IT * medians["fp32"] else "fp32"


def compile_graph(
    graph: ov.Model, precision: Precision, threads: int | None = None
) -> ov.InferRequest:
    """A request that runs the graph, with all threads of this process at one call."""
    options: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": HINTS[precision],
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return ov.Core().compile_model(graph, "CPU", options).create_infer_request()


class _RandomWeights(Weights):
    """Weights of any name and shape."""

    def __init__(self) -> None:
        super().__init__(Path(), {})
        self._random = np.random.default_rng(0)

    def get(self, name: str, *shape: int) -> Array:
        return self._random.normal(0, 0.02, shape).astype(np.float32)


def _machine(config: EncoderConfig) -> str:
    cores = len(os.sched_getaffinity(0))
    processor = "unknown processor"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        processor = next(named, processor)
    shape = f"{config.hidden}x{config.inner}x{config.heads}"
    return f"{processor}, {cores} cores, openvino {ov.__version__}, {shape}"


def default_cache() -> Path:
    """Where keymiss keeps what it can make again: `$XDG_CACHE_HOME/keymiss` (XDG Base Directory
    Specification)."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "keymiss"


def _read(path: Path) -> dict[str, Precision]:
    try:
        outcomes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return outcomes if isinstance(outcomes, dict) else {}


def _write(path: Path, outcomes: dict[str, Precision]) -> None:
    """A folder that cannot be written costs a probe at every start, no more."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(outcomes, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
