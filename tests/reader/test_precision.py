"""The precision: the one that is asked for, or the fastest that the model may use here."""

import json
import shutil

import numpy as np
import pytest

from keymiss.errors import SetupError
from keymiss.reader import ModelError, Reader
from keymiss.reader.int8_check import INT8_CHECK, Int8Check, keep_check, load_check
from keymiss.reader.precision import choose_precision
from tests.reader.test_families import GOLDEN


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(GOLDEN / "bert", tmp_path / "model")


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "int8"])
def test_what_is_asked_for_is_taken(folder, wanted):
    assert Reader.from_pretrained(folder, wanted).precision == wanted


def test_an_unknown_precision_is_named(folder):
    with pytest.raises(ModelError, match="'fp8' is not one of auto, fp32, bf16, int8"):
        Reader.from_pretrained(folder, precision="fp8")


@pytest.mark.parametrize(("isa", "expected"), [("portable", "fp32"), (None, None)])
def test_without_a_check_auto_takes_bf16_only_where_it_is_native(
    folder, monkeypatch, isa, expected
):
    if isa:
        monkeypatch.setenv("KEYMISS_ISA", isa)
    assert choose_precision("auto", folder) in ([expected] if expected else ["fp32", "bf16"])


@pytest.mark.parametrize(("int8", "passed"), [(80.0, True), (79.8, True), (79.6, False)])
def test_auto_takes_int8_after_a_check_that_lost_little(folder, int8, passed):
    keep_check(folder, Int8Check(80.0, int8, 100))
    assert (Reader.from_pretrained(folder).precision == "int8") is passed


def test_a_check_of_other_weights_does_not_count(folder):
    keep_check(folder, Int8Check(80.0, 80.0, 100))
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    assert load_check(folder) is None
    assert choose_precision("auto", folder) != "int8"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"fp32": 1}', '{"fp32": "x", "int8": 2}'])
def test_a_damaged_check_is_named(folder, content):
    (folder / INT8_CHECK).write_text(content)
    with pytest.raises(ModelError, match=f"{INT8_CHECK} is damaged"):
        Reader.from_pretrained(folder)


def test_a_check_that_cannot_be_kept_is_an_error(folder):
    (folder / INT8_CHECK).mkdir()
    with pytest.raises(SetupError, match="cannot be written"):
        keep_check(folder, Int8Check(80.0, 80.0, 100))


def test_the_check_is_readable_json(folder):
    path = keep_check(folder, Int8Check(80.5, 80.25, 100))
    record = json.loads(path.read_text())
    assert {name: record[name] for name in ("fp32", "int8", "questions")} == {
        "fp32": 80.5,
        "int8": 80.25,
        "questions": 100,
    }


def test_all_precisions_are_close():
    pairs = [("Who barks?", "Dogs bark at night."), ("When?", "Cats sleep at noon.")]
    fp32, *others = (
        [answers[0] for answers in Reader.from_pretrained("minilm-qa", each).read_batch(pairs)]
        for each in ("fp32", "bf16", "int8")
    )
    for other in others:
        assert [one.text for one in fp32] == [one.text for one in other]
        ours, theirs = ([one.margin for one in answers] for answers in (fp32, other))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.7)
