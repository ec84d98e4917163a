"""Turns a margin in logits into the probability that an answer is right."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from keymiss.errors import ModelError

CALIBRATION = "calibration.json"

LEAST = 0.05
"""The least probability of an answer, for models that do not state one."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often answers with a margin are right: `sigmoid((margin - offset) / temperature)`.

    The formula is that of Platt 1999 and Guo et al. 2017. A model without a calibration has
    temperature 1 and offset 0: the reader's own belief in the span over "no answer". A span whose
    probability is below `least` does not count as an answer.
    """

    temperature: float = 1.0
    offset: float = 0.0
    least: float = LEAST

    def probability(self, margin: float) -> float:
        """The probability that an answer with this margin is right, between 0 and 1."""
        x = self.log_odds(margin)
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0

    def log_odds(self, margin: float) -> float:
        """The logarithm of the odds that an answer with this margin is right."""
        return (margin - self.offset) / self.temperature


def load_calibration(folder: Path) -> Calibration:
    """The calibration in a model's folder, or the default one when there is no `calibration.json`.

    Raises:
        ModelError: the file is damaged.
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
        raise ModelError(f"{path} is damaged: temperature must be above 0 and offset finite")
    if not 0 <= calibration.least <= 1:
        raise ModelError(f"{path} is damaged: least must be between 0 and 1")
    return calibration
