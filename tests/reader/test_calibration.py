"""From a margin to a probability, with the temperature that is stored with the model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymiss.reader import BUNDLED_MODEL, ModelError, Reader
from keymiss.reader.calibration import CALIBRATION, Calibration, load_calibration

margins = st.floats(-1e6, 1e6)


@given(margins, margins, st.floats(0.1, 100), st.floats(-50, 50))
def test_a_larger_margin_is_never_less_probable(one, other, temperature, offset):
    calibration = Calibration(temperature, offset)
    low, high = (calibration.probability(margin) for margin in sorted((one, other)))
    assert 0 <= low <= high <= 1


def test_the_offset_is_an_even_chance():
    assert Calibration(3.0, 2.0).probability(2.0) == 0.5


def test_a_model_without_one_has_its_own_belief(tmp_path):
    assert load_calibration(tmp_path) == Calibration(1.0, 0.0)


@pytest.mark.parametrize(
    "record",
    ["{", "[]", "{}", '{"temperature": 0, "offset": 1}', '{"temperature": 1, "offset": "x"}'],
)
def test_a_damaged_one_is_an_error(tmp_path, record):
    (tmp_path / CALIBRATION).write_text(record)
    with pytest.raises(ModelError, match="is damaged"):
        load_calibration(tmp_path)


def test_the_bundled_reader_has_one():
    assert Reader.from_pretrained(BUNDLED_MODEL).calibration.temperature > 1
