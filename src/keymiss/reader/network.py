"""The seam between the reader and what computes: token ids in, span logits out.

How rows are padded, put together and cut into calls is the business of whoever computes them.
`openvino/openvino_network.py` is the implementation; `fake_network.py` is one for tests and
measurements of everything around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What a network reads at once: a question and a passage, framed by special tokens.

    `ids` are int32 of shape (length,); from `passage_at` on they are the passage's.
    """

    ids: Ids
    passage_at: int


class Network(Protocol):
    """An encoder with a span head. May be used from several threads."""

    @property
    def max_tokens(self) -> int:
        """The longest row that it can read."""

    @property
    def precision(self) -> str:
        """What it computes in: "fp32", "bf16" or "int8"."""

    @property
    def version(self) -> str:
        """Names the weights and the way of computing: equal versions give equal answers."""

    def logits(self, rows: Sequence[TokenRow]) -> Iterator[tuple[int, Logits]]:
        """The index of each row, in any order, with its start and end logits.

        Logits are float32 of shape (length, 2).
        """

    def warm_up(self) -> None:
        """Makes ready what the first questions would wait for."""
