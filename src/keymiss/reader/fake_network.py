"""A network that computes nothing: for tests and measurements where the answers do not matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from keymiss.reader.calibration import Calibration
from keymiss.reader.checkpoint import BUNDLED_FOLDER
from keymiss.reader.network import Logits, Precision, TokenRow
from keymiss.reader.reader import Reader
from keymiss.reader.tokenizer import Tokenizer


class FakeNetwork:
    """Says at once that the first token of every passage is the answer."""

    max_tokens = 512
    precision: Precision = "fp32"
    version = "fake"

    def logits(self, rows: Sequence[TokenRow]) -> Iterator[tuple[int, Logits]]:
        """See `Network`."""
        for index, row in enumerate(rows):
            logits = np.zeros((len(row.ids), 2), np.float32)
            logits[row.passage_at] = 4.5
            yield index, logits

    def warm_up(self) -> None:
        """See `Network`."""


def fake_reader() -> Reader:
    """A reader with the bundled model's tokenizer and a fake network."""
    return Reader("fake", Tokenizer(BUNDLED_FOLDER), FakeNetwork(), Calibration())
