"""Which precision a model is computed in."""

from __future__ import annotations

from pathlib import Path

from keymiss.errors import ModelError
from keymiss.reader.engine.engine_library import multiplies_bf16
from keymiss.reader.int8_check import load_check
from keymiss.reader.network import PRECISIONS, Precision


def choose_precision(wanted: str, folder: Path) -> Precision:
    """The wanted precision, or for "auto" the fastest that the model may use on this machine.

    That is int8 for a model whose check passed; otherwise bf16 where the processor multiplies bf16,
    and fp32 elsewhere.

    Raises:
        ModelError: there is no such precision, or the model's check is damaged.
    """
    if wanted != "auto":
        return _known(wanted)
    check = load_check(folder)
    if check and check.passed:
        return "int8"
    return "bf16" if multiplies_bf16() else "fp32"


def choose_encoder_precision(wanted: str, int8_was_measured: bool) -> Precision:
    """The wanted precision, or for "auto" bf16 where the processor multiplies bf16.

    Elsewhere that is int8 for an encoder with which it was measured to find as much
    (docs/decisions/0022-vectors.md), and fp32 for others.

    Raises:
        ModelError: there is no such precision.
    """
    if wanted != "auto":
        return _known(wanted)
    if multiplies_bf16():
        return "bf16"
    return "int8" if int8_was_measured else "fp32"


def _known(wanted: str) -> Precision:
    for precision in PRECISIONS:
        if wanted == precision:
            return precision
    known = ", ".join(PRECISIONS)
    raise ModelError(f"the precision {wanted!r} is not one of auto, {known}")
