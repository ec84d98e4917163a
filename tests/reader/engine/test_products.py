"""Every instruction set multiplies as plain C does; in int8, bit for bit."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keymiss.reader.engine.engine_library import check, engine_library
from keymiss.reader.network import PRECISIONS

PANEL = 32
PARTS = {"fp32": 1, "bf16": 2, "int8": 4}
"""How many inputs are a group in a panel of each precision."""

shapes = st.tuples(st.integers(1, 32), st.sampled_from([64, 128, 192, 1088]), st.integers(0, 99))
each_shape = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def product(isa, precision, rows, weights):
    """The sums of an instruction set: rows times weights, (rows, inputs) by (inputs, 32)."""
    count, inputs = rows.shape
    parts = PARTS[precision]
    groups = weights.reshape(inputs // parts, parts, PANEL).transpose(0, 2, 1)
    panel = np.ascontiguousarray(groups)
    column_sums = weights.astype(np.int32).sum(axis=0, dtype=np.int32)
    sums = np.empty((count, PANEL), np.int32 if precision == "int8" else np.float32)
    wrong = engine_library().keymiss_product(
        isa.encode(),
        PRECISIONS.index(precision),
        *(array.ctypes.data for array in (rows, panel, column_sums)),
        *(inputs, count, sums.ctypes.data),
    )
    check(wrong, isa)
    return sums


@each_shape
@given(shapes)
def test_int8_sums_are_exact(isa, shape):
    count, inputs, seed = shape
    random = np.random.default_rng(seed)
    rows = random.integers(-128, 128, (count, inputs), np.int8)
    weights = random.integers(-127, 128, (inputs, PANEL), np.int8)
    expected = rows.astype(np.int64) @ weights.astype(np.int64)
    np.testing.assert_array_equal(product(isa, "int8", rows, weights), expected)


def test_the_largest_numbers_do_not_saturate(isa):
    rows, weights = np.full((5, 1088), -128, np.int8), np.full((1088, PANEL), -127, np.int8)
    assert (product(isa, "int8", rows, weights) == 1088 * 128 * 127).all()
    rows = np.full((5, 1088), 127, np.int8)
    assert (product(isa, "int8", rows, weights) == -1088 * 127 * 127).all()


@each_shape
@given(shapes)
def test_fp32_sums_are_close_to_exact_ones(isa, shape):
    count, inputs, seed = shape
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, inputs)).astype(np.float32)
    weights = random.normal(size=(inputs, PANEL)).astype(np.float32)
    expected = rows.astype(np.float64) @ weights.astype(np.float64)
    np.testing.assert_allclose(product(isa, "fp32", rows, weights), expected, atol=1e-3)


@each_shape
@given(shapes)
def test_bf16_sums_are_close_to_exact_ones(isa, shape):
    count, inputs, seed = shape
    random = np.random.default_rng(seed)
    halves = [
        (random.normal(size=size).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        for size in ((count, inputs), (inputs, PANEL))
    ]
    exact = [(half.astype(np.uint32) << 16).view(np.float32).astype(np.float64) for half in halves]
    np.testing.assert_allclose(product(isa, "bf16", *halves), exact[0] @ exact[1], atol=1e-3)
