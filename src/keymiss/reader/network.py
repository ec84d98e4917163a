"""The interface between the reader and a neural network: token ids in, span logits out.

An implementation decides how rows are grouped and cut into calls.
`engine/engine_network.py` is the implementation that computes answers; `fake_network.py` is one
for tests and measurements of everything around it. `openvino/` is another one, which the engine is
measured against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Logits = NDArray[np.float32]

Precision = Literal["fp32", "bf16", "int8"]
"""The type that products are computed in."""

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One input of a network: a question and a passage, framed by special tokens.

    `ids` is int32 of shape (length,). The passage's ids begin at the index `passage_at`.
    """

    ids: Ids
    passage_at: int


class Network(Protocol):
    """An encoder with a span head. Several threads may use it."""

    @property
    def max_tokens(self) -> int:
        """The longest row that it can read, in tokens."""

    @property
    def precision(self) -> Precision:
        """The precision that it computes in."""

    @property
    def version(self) -> str:
        """A name for the weights and the way of computing: equal versions give equal answers."""

    def logits(self, rows: Sequence[TokenRow]) -> Iterator[tuple[int, Logits]]:
        """Yields the index of each row with the row's start and end logits, in any order.

        Logits are float32 of shape (length, 2).
        """

    def warm_up(self) -> None:
        """Does in advance the work that the first questions would wait for."""
