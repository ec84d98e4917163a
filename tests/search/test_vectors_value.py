"""The values of `keymiss:vectors:` keys come back as they were, or are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from keymiss.values.vectors_value import (
    HEADER_BYTES,
    belongs_to,
    rounded_vectors,
    vectors_from_bytes,
    vectors_stamp,
    vectors_to_bytes,
)

STAMP = vectors_stamp(b"abc", "A title")
vectors = stn.arrays(
    np.float32,
    st.tuples(st.integers(0, 5), st.just(7)),
    elements=st.floats(-1, 1, width=32, allow_subnormal=False),
)


@given(vectors)
def test_vectors_come_back_within_half_a_step(drawn):
    rounded = rounded_vectors(drawn)
    stamp, back = vectors_from_bytes(vectors_to_bytes(rounded, STAMP), 7)
    assert stamp == STAMP
    np.testing.assert_array_equal(back.codes, rounded.codes)
    np.testing.assert_array_equal(back.scales, rounded.scales)
    near = np.abs(back.codes * back.scales[:, None] - drawn).max(axis=1, initial=0)
    assert (near <= back.scales * 0.501).all()


def value():
    numbers = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    return vectors_to_bytes(rounded_vectors(numbers), STAMP)


@given(st.integers(0, len(value()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place, change):
    damaged = bytearray(value())
    damaged[place] ^= change
    unused_or_stamp = 6 <= place < 8 or 12 <= place < 28
    if unused_or_stamp:
        assert vectors_from_bytes(bytes(damaged), 7)[0] != STAMP or place < 8
    else:
        with pytest.raises(ValueError, match="it|its"):
            vectors_from_bytes(bytes(damaged), 7)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(bytes_):
    with pytest.raises(ValueError, match="it|its"):
        vectors_from_bytes(bytes_, 7)


def test_vectors_of_another_width_or_length_are_refused():
    with pytest.raises(ValueError, match="do not have 8 numbers"):
        vectors_from_bytes(value(), 8)
    with pytest.raises(ValueError, match="length"):
        vectors_from_bytes(value()[:-1], 7)


def test_a_value_belongs_to_one_text_and_one_title():
    beginning, size = value()[:HEADER_BYTES], len(value())
    assert belongs_to(beginning, size, b"abc", "A title", 3)
    assert not belongs_to(beginning, size, b"abd", "A title", 3)
    assert not belongs_to(beginning, size, b"abc", "A title!", 3)
    assert not belongs_to(beginning, size, b"abc", "A title", 4)
    assert not belongs_to(beginning, size - 1, b"abc", "A title", 3)
    assert not belongs_to(b"", 0, b"abc", "A title", 3)
    assert not belongs_to(ValueError(), size, b"abc", "A title", 3)
