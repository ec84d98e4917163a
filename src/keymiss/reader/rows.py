"""Pairs cut into the rows that the model reads, and rows put together into its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from keymiss.reader.tokenizer import Ids, SpecialTokens

GROUP_TOKENS = 2048
"""Pairs run together while their padded tokens are no more than this; more does not get faster."""

CALL_TOKENS = 32
"""What a call of the engine costs besides its tokens, in tokens."""

MIN_WINDOW_TOKENS = 8

VECTOR = 16
"""Attention computes so many tokens at once, and what is left over one by one."""

SLOW_REST = 12
"""From so many left over on, in bf16 and int8 a whole vector is faster (`bench/shape_cost.py`)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How pairs are cut, in tokens.

    Longer pairs are read in windows that overlap, as models are trained (Devlin et al. 2018);
    longer questions are cut, since the passage needs the room.
    """

    window: int = 384
    overlap: int = 128
    question: int = 128


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Row:
    """What the model reads at once: a question, and a passage or a window of it."""

    index: int
    ids: Ids
    passage_at: int
    """Where the passage begins in `ids`."""
    first_token: int
    """The token of the passage with which the window begins."""
    passage_tokens: int


def cut_pair(
    index: int, question: Ids, passage: Ids, special: SpecialTokens, limits: Limits
) -> Iterator[Row]:
    """The rows of a pair: one, or one for each window where the passage is too long for that.

    Args:
        index: of the pair.
        question: its ids, int32, without special tokens.
        passage: likewise; one without tokens has no row.
        special: the tokens that frame a pair.
        limits: the window at most what the model has positions for.
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
            yield Row(index, ids, 1 + len(asked) + len(between), first, len(read))


def padded_length(longest: int, step: int, most: int) -> int:
    """The length that rows are padded to, given that of the longest, in tokens.

    Args:
        longest: of the rows.
        step: lengths are multiples of this, but for `most`.
        most: what the model has positions for.
    """
    length = -longest // step * -step
    rest = length % VECTOR
    return min(length if rest < SLOW_REST else length + VECTOR - rest, most)


def group_rows(rows: list[Row], padded: Callable[[int], int]) -> Iterator[list[Row]]:
    """Rows of near equal length together: the cheapest way to cut the rows, sorted, into groups.

    A group costs its tokens, padding included, and CALL_TOKENS. `padded` gives the length to which
    a group is padded for that of its longest row.
    """
    rows = sorted(rows, key=lambda row: len(row.ids))
    # The least cost of the n shortest rows, and where their last group begins.
    best, first = [0], [0]
    for end in range(1, len(rows) + 1):
        longest = padded(len(rows[end - 1].ids))
        room = max(1, GROUP_TOKENS // longest)
        costs = [
            (best[begin] + longest * (end - begin) + CALL_TOKENS, begin)
            for begin in range(max(0, end - room), end)
        ]
        cost, begin = min(costs)
        best.append(cost)
        first.append(begin)
    end = len(rows)
    while end:
        yield rows[first[end] : end]
        end = first[end]
