"""Groups rows into calls of OpenVINO. All rows of a call are padded to one length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

GROUP_TOKENS = 2048
"""How many tokens a group has at most, padding included. Larger groups are not faster."""

CALL_TOKENS = 32
"""The fixed cost of a call of the engine, expressed as a number of tokens."""

VECTOR = 16
"""How many tokens attention computes at once. The tokens left over are computed one by one."""

SLOW_REST = 12
"""With this many tokens left over, or more, a whole vector is faster in bf16 and int8 (measured by
`python -m keymiss.bench.shape_cost`)."""


def padded_length(longest: int, step: int, most: int) -> int:
    """The length that rows are padded to, in tokens.

    Args:
        longest: the length of the longest row.
        step: the length is a multiple of this, unless it is `most`.
        most: how many tokens the model has positions for.
    """
    length = -longest // step * -step
    rest = length % VECTOR
    return min(length if rest < SLOW_REST else length + VECTOR - rest, most)


def group_rows(lengths: Sequence[int], padded: Callable[[int], int]) -> Iterator[list[int]]:
    """Yields groups of rows of similar length, each as a list of the rows' indices.

    The rows are sorted by length and cut into groups in the cheapest way. A group costs its tokens,
    padding included, and CALL_TOKENS.

    Args:
        lengths: the lengths of the rows, in tokens.
        padded: returns the length that a group is padded to, from the length of its longest row.
    """
    rows = sorted(range(len(lengths)), key=lambda index: lengths[index])
    # At index n: the least cost of the n shortest rows, and where their last group begins.
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
