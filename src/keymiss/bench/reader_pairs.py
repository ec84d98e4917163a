"""The input of the measurements of readers: passages of given lengths, with a short question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keymiss.reader import Passage
from keymiss.reader.network import Ids

SHORT_QUESTION = "who lives there?"
QUESTION_TOKENS = 7
"""How many tokens the question has, with the special tokens before and after it, and the one at the
end of the pair."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The input of a call: passages whose pairs with the question have these lengths in tokens."""

    lengths: tuple[int, ...]

    def passages(self) -> list[Passage]:
        return [Passage("", self._tokens(length - QUESTION_TOKENS)) for length in self.lengths]

    def _tokens(self, count: int) -> Ids:
        return np.random.default_rng(count).integers(2000, 30_000, count, dtype=np.int32)

    def arrays(self, question: Ids) -> tuple[Ids, Ids, Ids]:
        """Token ids, types and mask, padded to the longest pair."""
        shape = (len(self.lengths), max(self.lengths))
        ids, types, mask = (np.zeros(shape, np.int32) for _ in range(3))
        for row, (length, passage) in enumerate(zip(self.lengths, self.passages(), strict=True)):
            ids[row, :length] = np.concatenate([[101], question, [102], passage.ids, [102]])
            types[row, 2 + len(question) : length] = 1
            mask[row, :length] = 1
        return ids, types, mask
