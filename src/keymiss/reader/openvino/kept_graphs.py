"""Compiles graphs with OpenVINO, from memory or from files that an earlier start kept.

A checkpoint becomes a file that the engine maps: the graph and its weights in the type that they
are computed in. The file lies in the cache, in a folder named after the content of the model and
the precision. In it, a folder for each version of the engine holds the compiled graph. A second
start maps both and does not read the checkpoint.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import openvino as ov

from keymiss.reader.model_cache import default_cache, locked
from keymiss.reader.network import Precision

Arithmetic = Literal["fp32", "bf16"]
"""The type that floating-point numbers are computed in; in int8, those that are not rounded."""

KEPT_KERNELS = 1000
"""How many of the last used kernels OpenVINO keeps: enough for one or two hundred shapes of calls.
Its default of 5,000 takes some 1.6 GiB in int8 and makes no traffic faster."""

HINTS: dict[Arithmetic, str] = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names for these types."""


def options(arithmetic: Arithmetic, threads: int | None = None) -> dict[str, object]:
    """The settings of OpenVINO. All processors, or `threads` threads, work at the same call."""
    settings: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": HINTS[arithmetic],
        "CPU_RUNTIME_CACHE_CAPACITY": KEPT_KERNELS,
    }
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings


def compile_graph(
    graph: ov.Model, arithmetic: Arithmetic, threads: int | None = None
) -> ov.CompiledModel:
    """Compiles a graph from memory, and keeps no file."""
    return ov.Core().compile_model(graph, "CPU", options(arithmetic, threads))


def graph_file(name: str, precision: Precision) -> Path:
    """Where the graph of a model is kept: `graph.xml`, with its weights beside it in `graph.bin`.

    Args:
        name: the name of the model's content, from `model_version`.
        precision: the precision that its weights are stored for.
    """
    return default_cache() / "models" / f"{name}-{precision}" / "graph.xml"


def keep_graph(graph: ov.Model, precision: Precision, path: Path) -> None:
    """Writes a graph and its weights.

    Raises:
        OSError, RuntimeError: the files cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft-{os.getpid()}.xml")
    # bf16 has fewer digits than float16, so weights stored as float16 lose nothing.
    ov.save_model(graph, draft, compress_to_fp16=precision == "bf16")
    draft.with_suffix(".bin").replace(path.with_suffix(".bin"))
    draft.replace(path)


def compile_kept(
    path: Path, arithmetic: Arithmetic, build: Callable[[], ov.Model], threads: int | None = None
) -> ov.CompiledModel:
    """Compiles a kept graph. When there is none, it is built and kept first.

    Args:
        path: the file of the graph, from `graph_file`.
        arithmetic: the type to compute in.
        build: makes the graph when there is none.
        threads: how many threads compute; None for all processors.
    """
    compiled = path.parent / f"openvino-{ov.__version__.split('-')[0]}"
    # The compiled graph leaves out the weights, which are in the graph's file.
    kept = {"CACHE_DIR": str(compiled), "CACHE_MODE": "OPTIMIZE_SIZE"}
    try:
        with locked(path.parent / "lock"):
            if not path.exists():
                keep_graph(build(), arithmetic, path)
            return ov.Core().compile_model(path, "CPU", options(arithmetic, threads) | kept)
    except (OSError, RuntimeError):
        # The disk is full, the folder is read-only, or files are damaged: the model is compiled as
        # if there were no cache. An int8 graph cannot be built again: `build` raises, and the files
        # stay.
        graph = build()
        with suppress(OSError):
            shutil.rmtree(path.parent)
        return compile_graph(graph, arithmetic, threads)
