"""Packs a checkpoint for the engine, into a file that all processes of a host map."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keymiss.errors import ModelError
from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.engine.engine_library import (
    TENSORS,
    Bytes,
    Shape,
    check,
    engine_library,
    shape_of,
)
from keymiss.reader.model_cache import default_cache, locked
from keymiss.reader.network import Precision
from keymiss.reader.weights import Weights

Packed = tuple[str, str, int, tuple[int, ...]]
"""The name of a tensor in a checkpoint and in the engine, its layer, and its shape."""

_LAYER_DENSE = (
    ("queries", "attention.self.query"),
    ("keys", "attention.self.key"),
    ("values", "attention.self.value"),
    ("attended", "attention.output.dense"),
    ("widened", "intermediate.dense"),
    ("narrowed", "output.dense"),
)
_LAYER_NORMS = (
    ("attended_norm", "attention.output.LayerNorm"),
    ("narrowed_norm", "output.LayerNorm"),
)


def packed_weights(
    load: Callable[[], Weights],
    config: EncoderConfig,
    precision: Precision,
    name: str,
    has_head: bool = True,
) -> Bytes:
    """The packed weights of a model: mapped from the cache, where the first call puts them.

    Without a place to keep them, they are packed in memory.

    Args:
        load: gives the model's weights.
        name: names the model's content and the precision.
        has_head: whether there is a span head.

    Raises:
        ModelError: the weights are incomplete or damaged, or hold a number that is not finite.
    """
    shape = shape_of(config, precision)
    size = engine_library().keymiss_packed_size(shape)
    if not size:
        raise ModelError(f"{name}: the engine cannot compute a model of this size")
    path = default_cache() / "models" / f"{name}.packed"
    wanted = list(tensors(config, has_head))
    try:
        with locked(path.with_suffix(".lock")):
            mapped = _mapped(path, size)
            if mapped is None or not _opens(shape, mapped):
                _keep(load(), wanted, shape, size, path)
                mapped = _mapped(path, size)
        if mapped is not None:
            return mapped
    except OSError:
        pass  # the disk is full, or the folder is read-only
    packed = np.zeros(size, np.uint8)
    pack(load(), wanted, shape, packed)
    return packed


def pack(weights: Weights, wanted: Sequence[Packed], shape: Shape, out: Bytes) -> None:
    """Packs the weights of a model into zeros, one tensor after the other."""
    library = engine_library()
    check(library.keymiss_begin_packing(shape, out.ctypes.data), weights.path)
    for name, tensor, layer, size in wanted:
        weight, bias = _arrays(weights, name, tensor, size)
        number = TENSORS.index(tensor)
        pointer = bias.ctypes.data if bias is not None else None
        wrong = library.keymiss_pack(
            shape, out.ctypes.data, number, layer, weight.ctypes.data, pointer
        )
        check(wrong, f"{weights.path}: {name}")
        weights.release()  # a checkpoint is as large as what is packed
    library.keymiss_end_packing(out.ctypes.data)


def tensors(config: EncoderConfig, has_head: bool = True) -> Iterator[Packed]:
    """The name of each tensor in a checkpoint and in the engine, its layer, and its shape."""
    hidden, width = config.hidden, config.embedding
    yield "embeddings.word_embeddings", "words", 0, (config.vocabulary, width)
    yield "embeddings.position_embeddings", "places", 0, (config.positions, width)
    if config.types:
        yield "embeddings.token_type_embeddings", "kinds", 0, (config.types, width)
    yield "embeddings.LayerNorm", "embedded_norm", 0, (width,)
    if width != hidden:
        yield "embeddings_project", "embedded", 0, (hidden, width)
    shapes = {"widened": (config.inner, hidden), "narrowed": (hidden, config.inner)}
    for layer in range(config.layers):
        for tensor, name in _LAYER_DENSE:
            size = shapes.get(tensor, (hidden, hidden))
            yield f"encoder.layer.{layer}.{name}", tensor, layer, size
        for tensor, name in _LAYER_NORMS:
            yield f"encoder.layer.{layer}.{name}", tensor, layer, (hidden,)
    if has_head:
        yield "qa_outputs", "span_head", 0, (2, hidden)


def _arrays(
    weights: Weights, name: str, tensor: str, size: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    weight = np.ascontiguousarray(weights.get(f"{name}.weight", *size), np.float32)
    if tensor in ("words", "places", "kinds"):
        return weight, None
    return weight, np.ascontiguousarray(weights.get(f"{name}.bias", size[0]), np.float32)


def _keep(weights: Weights, wanted: Sequence[Packed], shape: Shape, size: int, path: Path) -> None:
    """Packs into a new file, which takes the path when it is complete."""
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        with draft.open("w+b") as file:
            # A disk that is full must be an error here: in a mapping it would be a signal.
            os.posix_fallocate(file.fileno(), 0, size)
            out = np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
            pack(weights, wanted, shape, out)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _mapped(path: Path, size: int) -> Bytes | None:
    """The bytes of the file; None when there is none of this size."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return None
            return np.frombuffer(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ), np.uint8)
    except FileNotFoundError:
        return None


def _opens(shape: Shape, packed: Bytes) -> bool:
    library, engine = engine_library(), ctypes.c_void_p()
    data = packed.ctypes.data
    if library.keymiss_open(shape, data, packed.size, None, ctypes.byref(engine)) is not None:
        return False
    library.keymiss_close(engine)
    return True
