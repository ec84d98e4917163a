"""Rows that are read in one call of the engine."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keymiss.reader.rows import CALL_TOKENS, GROUP_TOKENS, Row, group_rows


def cost(groups, step):
    return sum(CALL_TOKENS + padded_tokens(group, step) for group in groups)


def padded_tokens(group, step):
    return len(group) * -(-max(group) // step) * step


@given(st.lists(st.integers(8, 512), max_size=60), st.sampled_from([1, 8]))
def test_every_row_is_read_once_and_no_simple_way_is_cheaper(lengths, step):
    rows = [Row(i, np.zeros(n, np.int32), 0, 0, 0) for i, n in enumerate(lengths)]
    found = group_rows(rows, lambda longest: -(-longest // step) * step)
    groups = [[len(row.ids) for row in group] for group in found]
    assert sorted(length for group in groups for length in group) == sorted(lengths)
    for group in groups:
        assert len(group) == 1 or padded_tokens(group, step) <= GROUP_TOKENS
    ordered = sorted(lengths)
    for size in range(1, len(lengths) + 1):
        even = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
        if all(padded_tokens(group, step) <= GROUP_TOKENS for group in even):
            assert cost(groups, step) <= cost(even, step)


def test_a_lone_row_is_one_group():
    row = Row(0, np.zeros(600, np.int32), 0, 0, 0)
    assert list(group_rows([row], int)) == [[row]]
