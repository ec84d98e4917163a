"""Loads the engine's C library, declares its functions (engine.h), and opens packed models."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_float, c_int32, c_uint64, c_void_p
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keymiss.errors import ModelError, SetupError
from keymiss.reader.encoder_config import EncoderConfig
from keymiss.reader.network import PRECISIONS, Ids, Logits, Precision, TokenRow

Bytes = NDArray[np.uint8]
Vectors = NDArray[np.float32]

YIELDING, ALONE = 0, -1
"""In place of a number of threads: one that computes when no other thread wants the processor, and
the calling one, which waits for no others."""

TENSORS = (
    "words",
    "places",
    "kinds",
    "embedded_norm",
    "embedded",
    "queries",
    "keys",
    "values",
    "attended",
    "attended_norm",
    "widened",
    "narrowed",
    "narrowed_norm",
    "span_head",
)
"""The tensors in the order of their numbers in engine.h."""


SIZES = (
    *("vocabulary", "embedding", "hidden", "layers", "heads"),
    *("inner", "positions", "first_position", "types"),
)
"""The fields of `EncoderConfig` that a shape has, in their order in packed_model.h."""


class Shape(ctypes.Structure):
    """`Shape` in packed_model.h."""

    _fields_ = (
        ("precision", c_int32),
        *((name, c_int32) for name in SIZES),
        ("epsilon", c_float),
    )


def shape_of(config: EncoderConfig, precision: Precision) -> Shape:
    """The shape of a model in a precision. PRECISIONS has the order of packed_model.h."""
    sizes = {name: getattr(config, name) for name in SIZES}
    return Shape(precision=PRECISIONS.index(precision), epsilon=config.epsilon, **sizes)


@cache
def engine_library() -> ctypes.CDLL:
    """The library. Its functions release Python's lock while they run.

    Raises:
        SetupError: the library is missing.
    """
    path = Path(str(resources.files("keymiss.reader.engine") / "keymiss_engine.so"))
    if not path.is_file():
        raise SetupError(f"{path} is missing; install keymiss with pip, which compiles it")
    library = ctypes.CDLL(str(path))
    shape = POINTER(Shape)
    for name, result, *arguments in (
        ("packed_size", c_uint64, shape),
        ("begin_packing", c_char_p, shape, c_void_p),
        ("pack", c_char_p, shape, c_void_p, c_int32, c_int32, c_void_p, c_void_p),
        ("end_packing", None, c_void_p),
        ("open", c_char_p, shape, c_void_p, c_uint64, c_char_p, POINTER(c_void_p)),
        ("close", None, c_void_p),
        ("isa", c_char_p, c_char_p, c_int32),
        ("product", c_char_p, c_char_p, c_int32, *[c_void_p] * 3, c_int32, c_int32, c_void_p),
        ("logits", c_char_p, *[c_void_p] * 4, c_int32, c_int32, c_void_p),
        ("vectors", c_char_p, *[c_void_p] * 3, c_int32, c_int32, c_void_p),
    ):
        function = getattr(library, f"keymiss_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class OpenEngine:
    """An engine with a packed model of this config and precision. Several threads may use it: they
    take turns.

    Raises:
        ModelError: the weights are another model's, or the instruction set that `KEYMISS_ISA` names
            does not run here.
    """

    def __init__(self, packed: Bytes, config: EncoderConfig, precision: Precision) -> None:
        self._library = engine_library()
        self._packed = packed
        self._engine = c_void_p()
        wrong = self._library.keymiss_open(
            shape_of(config, precision),
            packed.ctypes.data,
            packed.size,
            wanted_isa(),
            ctypes.byref(self._engine),
        )
        check(wrong, "the packed weights")
        weakref.finalize(self, self._library.keymiss_close, self._engine)

    def logits(self, rows: Sequence[TokenRow], threads: int) -> Logits:
        """The start and end logits of all tokens, float32 of shape (tokens, 2)."""
        ids, lengths = _laid_out([row.ids for row in rows])
        passages = np.array([row.passage_at for row in rows], np.int32)
        logits = np.empty((len(ids), 2), np.float32)
        pointers = [array.ctypes.data for array in (ids, lengths, passages)]
        wrong = self._library.keymiss_logits(
            self._engine, *pointers, len(rows), threads, logits.ctypes.data
        )
        check(wrong, "the reader's rows")
        return logits

    def vectors(self, rows: Sequence[Ids], width: int, threads: int) -> Vectors:
        """The vectors of all rows, float32 of shape (rows, width). `threads` may be YIELDING or
        ALONE."""
        ids, lengths = _laid_out(rows)
        vectors = np.empty((len(rows), width), np.float32)
        pointers = [array.ctypes.data for array in (ids, lengths)]
        wrong = self._library.keymiss_vectors(
            self._engine, *pointers, len(rows), threads, vectors.ctypes.data
        )
        check(wrong, "the encoder's rows")
        return vectors


def _laid_out(rows: Sequence[Ids]) -> tuple[Ids, Ids]:
    """The ids of all rows, one after the other, and how many each row has."""
    return np.concatenate(rows), np.array([len(row) for row in rows], np.int32)


def check(wrong: bytes | None, subject: object) -> None:
    """Raises ModelError when a function of the library says that something is wrong."""
    if wrong is not None:
        raise ModelError(f"{subject}: {wrong.decode()}")


def instruction_set(precision: Precision) -> str:
    """The instruction set that multiplies in this precision here.

    Raises:
        ModelError: the set that `KEYMISS_ISA` names does not run here.
    """
    wanted = wanted_isa()
    name = engine_library().keymiss_isa(wanted, PRECISIONS.index(precision))
    if name is None:
        named = os.environ["KEYMISS_ISA"]
        raise ModelError(f"KEYMISS_ISA={named}: there is no such instruction set on this machine")
    return str(name, "ascii")


def multiplies_bf16() -> bool:
    """Whether the processor has instructions that multiply bf16."""
    return instruction_set("bf16") != "portable"


def wanted_isa() -> bytes | None:
    """The instruction set that `KEYMISS_ISA` names; None for the best that runs here."""
    return os.environb.get(b"KEYMISS_ISA") or None
