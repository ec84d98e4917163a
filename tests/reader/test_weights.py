"""Arrays out of safetensors files, in the types that checkpoints come in."""

import json

import numpy as np
import pytest

from keymiss.reader import ModelError
from keymiss.reader.weights import load_weights

NUMBERS = np.array([[1.0, -2.5], [3e-5, 1e30]], np.float32)


def write(folder, kind, array):
    entry = {"dtype": kind, "shape": array.shape, "data_offsets": [0, array.nbytes]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "bert.x": entry}).encode()
    size = len(header).to_bytes(8, "little")
    (folder / "model.safetensors").write_bytes(size + header + array.tobytes())
    return load_weights(folder)


def test_float32_is_handed_out_as_it_is(tmp_path):
    assert (write(tmp_path, "F32", NUMBERS).get("x", 2, 2) == NUMBERS).all()


def test_bfloat16_is_widened(tmp_path):
    upper_halves = (NUMBERS.view(np.uint32) >> 16).astype(np.uint16)
    got = write(tmp_path, "BF16", upper_halves).get("x", 2, 2)
    assert got.dtype == np.float32
    assert np.allclose(got, NUMBERS, rtol=2**-7)


@pytest.mark.parametrize("size", [0, 1, 2**40, 2**64 - 1])
def test_a_header_that_cannot_be_is_damage(tmp_path, size):
    write(tmp_path, "F32", NUMBERS)
    path = tmp_path / "model.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(ModelError, match="is damaged"):
        load_weights(tmp_path)
