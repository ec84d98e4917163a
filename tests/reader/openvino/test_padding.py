"""Rows that are read in one call of the engine."""

from hypothesis import given
from hypothesis import strategies as st

from keymiss.reader.openvino.padding import (
    CALL_TOKENS,
    GROUP_TOKENS,
    SLOW_REST,
    VECTOR,
    group_rows,
    padded_length,
)


def cost(groups, step):
    return sum(CALL_TOKENS + padded_tokens(group, step) for group in groups)


def padded_tokens(group, step):
    return len(group) * padded_length(max(group), step, 512)


@given(st.integers(1, 512), st.sampled_from([1, 4]), st.integers(1, 512))
def test_a_padded_length_has_room_for_its_row_and_is_not_one_that_reads_slowly(longest, step, most):
    longest = min(longest, most)
    padded = padded_length(longest, step, most)
    assert longest <= padded <= min(most, longest + step + VECTOR - SLOW_REST)
    assert padded == most or (padded % VECTOR < SLOW_REST and padded % step == 0)
    assert padded_length(padded, step, most) == padded


@given(st.lists(st.integers(8, 512), max_size=60), st.sampled_from([1, 4]))
def test_every_row_is_read_once_and_no_simple_way_is_cheaper(lengths, step):
    found = list(group_rows(lengths, lambda longest: padded_length(longest, step, 512)))
    assert sorted(index for group in found for index in group) == list(range(len(lengths)))
    groups = [[lengths[index] for index in group] for group in found]
    for group in groups:
        assert len(group) == 1 or padded_tokens(group, step) <= GROUP_TOKENS
    ordered = sorted(lengths)
    for size in range(1, len(lengths) + 1):
        even = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
        if all(padded_tokens(group, step) <= GROUP_TOKENS for group in even):
            assert cost(groups, step) <= cost(even, step)


def test_a_lone_row_is_one_group():
    assert list(group_rows([600], int)) == [[0]]
