"""What is made ready before the first question comes."""

from types import SimpleNamespace

import pytest

from keymiss.reader import BUNDLED_FOLDER
from keymiss.reader.openvino.openvino_reader import openvino_reader


@pytest.fixture
def shapes_read(monkeypatch):
    """Warms up a reader of a precision; the shapes that it calls the engine with."""

    def warm(precision, most=512):
        shapes = []
        reader = openvino_reader(BUNDLED_FOLDER)
        engine = SimpleNamespace(infer=lambda inputs, **_: shapes.append(inputs[0].shape))
        monkeypatch.setattr(reader.network, "precision", precision)
        monkeypatch.setattr(reader.network, "_request", engine)
        monkeypatch.setattr(reader.network, "max_tokens", most)
        reader.network.warm_up()
        return shapes

    return warm


def test_int8_reads_a_row_of_each_length_that_a_single_pair_is_padded_to(shapes_read):
    lengths = [4, 8, 16, 20, 24, 32, 36, 40, 48, 52, 56, 64]
    lengths += [64 + length for length in lengths]
    assert shapes_read("int8") == [(1, length) for length in lengths]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_others_read_one_row(shapes_read, precision):
    assert shapes_read(precision) == [(1, 128)]


def test_no_row_is_longer_than_what_the_model_has_positions_for(shapes_read):
    assert shapes_read("int8", 22) == [(1, 4), (1, 8), (1, 16), (1, 20), (1, 22)]
    assert shapes_read("bf16", 22) == [(1, 22)]
