"""From a margin in logits to the probability that an answer is right."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from keymiss.errors import ModelError

CALIBRATION = "calibration.json"

LEAST = 0.05
"""Of a model that says nothing about it."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """`sigmoid((margin - offset) / temperature)` is how often such an answer is right.

    Platt 1999, Guo et al. 2017. A model without a calibration has the reader's own belief in the
    span, against that there is no answer: temperature 1, offset 0. What is right less often than
    `least` is no answer.
    """

    temperature: float = 1.0
    offset: float = 0.0
    least: float = LEAST

    def probability(self, margin: float) -> float:
        """Between 0 and 1."""
        x = (margin - self.offset) / self.temperature
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def load_calibration(folder: Path) -> Calibration:
    """What `calibration.json` in the model's folder says, if there is one.

    Raises:
        ModelError: it is damaged.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return Calibration()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        calibration = Calibration(
            float(record["temperature"]),
            float(record["offset"]),
            float(record.get("least", LEAST)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged: {error!r}") from None
    if not calibration.temperature > 0 or not math.isfinite(calibration.offset):
        raise ModelError(f"{path} is damaged: the temperature must be above 0")
    if not 0 <= calibration.least <= 1:
        raise ModelError(f"{path} is damaged: least must be between 0 and 1")
    return calibration
