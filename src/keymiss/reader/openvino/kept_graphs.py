"""Graphs compiled by OpenVINO, from memory or from what an earlier start left in the cache.

A checkpoint becomes a file that the engine maps: the graph and its weights in the type that they
are computed in. It lies in the cache, in a folder named after the content of the model and the
precision, and below it, in a folder for each version of the engine, what the compiler made of it. A
second start maps both and reads no checkpoint.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import openvino as ov

from keymiss.reader.model_cache import default_cache

Precision = Literal["fp32", "bf16", "int8"]
Arithmetic = Literal["fp32", "bf16"]
"""What floating-point numbers are computed in; with int8 that is what is not rounded."""

KEPT_KERNELS = 1000
"""Of kernels made for the shapes of calls, those used last: one or two hundred shapes. OpenVINO's
5,000 take some 1.6 GiB in int8, and no traffic got faster by them."""

HINTS: dict[Arithmetic, str] = {"fp32": "f32", "bf16": "bf16"}
"""What OpenVINO calls them."""


def options(arithmetic: Arithmetic, threads: int | None = None) -> dict[str, object]:
    """The settings of OpenVINO: all threads of this process, or so many, work at one call."""
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
    """Compiles a graph from memory, for one use."""
    return ov.Core().compile_model(graph, "CPU", options(arithmetic, threads))


def graph_file(name: str, precision: Precision) -> Path:
    """Where the graph of a model is kept: `graph.xml`, and its weights beside it in `graph.bin`.

    Args:
        name: of the model's content.
        precision: that its weights are stored for.
    """
    return default_cache() / "models" / f"{name}-{precision}" / "graph.xml"


def keep_graph(graph: ov.Model, precision: Precision, path: Path) -> None:
    """Writes a graph and its weights.

    Raises:
        OSError, RuntimeError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft-{os.getpid()}.xml")
    # bf16 has fewer digits than float16, so that nothing is lost by storing that.
    ov.save_model(graph, draft, compress_to_fp16=precision == "bf16")
    draft.with_suffix(".bin").replace(path.with_suffix(".bin"))
    draft.replace(path)


def compile_kept(
    path: Path, arithmetic: Arithmetic, build: Callable[[], ov.Model], threads: int | None = None
) -> ov.CompiledModel:
    """Compiles a kept graph, or makes, keeps and compiles it.

    Args:
        path: of the graph, from `graph_file`.
        arithmetic: to compute in.
        build: makes the graph, when there is none.
        threads: how many to compute with.
    """
    compiled = path.parent / f"openvino-{ov.__version__.split('-')[0]}"
    # Without the weights, which are in the graph's file.
    kept = {"CACHE_DIR": str(compiled), "CACHE_MODE": "OPTIMIZE_SIZE"}
    try:
        with _locked(path.parent):
            if not path.exists():
                keep_graph(build(), arithmetic, path)
            return ov.Core().compile_model(path, "CPU", options(arithmetic, threads) | kept)
    except (OSError, RuntimeError):
        # No room, no rights, or damaged files: the model is compiled as if there were no cache.
        # What cannot be made again, an int8 graph, ends here and stays where it is.
        graph = build()
        with suppress(OSError):
            shutil.rmtree(path.parent)
        return compile_graph(graph, arithmetic, threads)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process writes, and none reads what is half written."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
