"""Rows put together into calls of OpenVINO, which pads all rows of a call to one length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

GROUP_TOKENS = 2048
"""Rows run together while their padded tokens are no more than this; more does not get faster."""

CALL_TOKENS = 32
"""What a call of the engine costs besides its tokens, in tokens."""

VECTOR = 16
"""Attention computes so many tokens at once, and what is left over one by one."""

SLOW_REST = 12
"""From so many left over on, in bf16 and int8 a whole vector is faster (`bench/shape_cost.py`)."""


def padded_length(longest: int, step: int, most: int) -> int:
    """The length that rows are padded to, given that of the longest, in tokens.

    Args:
        longest: the length of the longest row.
        step: lengths are multiples of this, but for `most`.
        most: what the model has positions for.
    """
    length = -longest // step * -step
    rest = length % VECTOR
    return min(length if rest < SLOW_REST else length + VECTOR - rest, most)


def group_rows(lengths: Sequence[int], padded: Callable[[int], int]) -> Iterator[list[int]]:
    """The indices of rows of near equal length: the cheapest way to cut the rows, sorted by their
    length, into groups.

    A group costs its tokens, padding included, and CALL_TOKENS.

    Args:
        lengths: of the rows, in tokens.
        padded: gives the length to which a group is padded for that of its longest row.
    """
    rows = sorted(range(len(lengths)), key=lambda index: lengths[index])
    # The least cost of the n shortest rows, and where their last group begins.
    best, first = [0], [0]
    for end in range(1, len(rows) + 1):
        longest = padded(lengths[rows[end - 1]])
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
