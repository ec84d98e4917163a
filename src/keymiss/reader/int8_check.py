"""The check of a model in int8, which is kept beside its weights: what int8 costs in F1."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from keymiss.errors import ModelError, SetupError
from keymiss.reader.model_cache import digest_of
from keymiss.reader.weights import weight_files

INT8_CHECK = "int8-check.json"

MOST_F1_LOST = 0.3
"""How many points of F1 a model may lose in int8, at most, so that `auto` takes int8."""


@dataclass(frozen=True, slots=True)
class Int8Check:
    """F1 over the same questions, in percent, in fp32 and in int8."""

    fp32: float
    int8: float
    questions: int

    @property
    def passed(self) -> bool:
        """Whether int8 loses so little that it may be taken unasked."""
        return self.fp32 - self.int8 <= MOST_F1_LOST


def load_check(folder: Path) -> Int8Check | None:
    """The check of the weights that are in the folder; None when these were not checked.

    Raises:
        ModelError: the file is damaged.
    """
    path = folder / INT8_CHECK
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check = Int8Check(float(record["fp32"]), float(record["int8"]), int(record["questions"]))
        checked = record["weights"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged: {error!r}; delete it, or check again") from None
    return check if checked == digest_of(weight_files(folder)) else None


def keep_check(folder: Path, check: Int8Check) -> Path:
    """Writes the check beside the weights; returns the file's path.

    Raises:
        SetupError: the folder cannot be written.
    """
    path = folder / INT8_CHECK
    record = asdict(check) | {"weights": digest_of(weight_files(folder))}
    try:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error}") from None
    return path
