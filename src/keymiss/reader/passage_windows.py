"""Cuts pairs of a question and a passage into the rows that a network reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keymiss.reader.network import Ids, TokenRow
from keymiss.reader.tokenizer import SpecialTokens

MIN_WINDOW_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """How long windows, their overlap and questions may be, in tokens.

    Longer pairs are read in windows that overlap, as in the training of the models (Devlin et al.
    2018). Longer questions are cut, because the passage needs the room.
    """

    window: int = 384
    overlap: int = 128
    question: int = 128


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class PairRow:
    """A question with a passage, or with a window of a passage that is too long.

    `pair` is the index of the pair. `first_token` is the index of the passage's token at which the
    window begins, and `passage_tokens` is how many of the passage's tokens the window has.
    """

    pair: int
    tokens: TokenRow
    first_token: int
    passage_tokens: int


def cut_pair(
    index: int, question: Ids, passage: Ids, special: SpecialTokens, limits: Limits
) -> Iterator[PairRow]:
    """The rows of a pair: one, or one for each window when the passage is too long for one row.

    Args:
        index: the index of the pair.
        question: the question's ids, int32, without special tokens.
        passage: the passage's ids, likewise; a passage without tokens has no row.
        special: the tokens that frame a pair.
        limits: the limits in tokens; the model must have positions for `limits.window`.
    """
    separator = np.array([special.separator], np.int32)
    between = np.full(special.separators_between, special.separator, np.int32)
    start = np.array([special.start], np.int32)
    longest = max(MIN_WINDOW_TOKENS, limits.window)
    asked = question[: min(limits.question, longest // 3)]
    room = longest - len(asked) - len(between) - 2
    step = room - min(limits.overlap, room // 2)
    for first in range(0, max(1, len(passage) - (room - step)), step):
        read = passage[first : first + room]
        if len(read):
            ids = np.concatenate([start, asked, between, read, separator])
            tokens = TokenRow(ids, 1 + len(asked) + len(between))
            yield PairRow(index, tokens, first, len(read))
