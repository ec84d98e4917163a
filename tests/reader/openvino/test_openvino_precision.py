"""The precision: the one that is asked for, or the faster one, which is measured once."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from keymiss.reader import BUNDLED_FOLDER, ModelError
from keymiss.reader.encoder_config import load_config
from keymiss.reader.openvino import arithmetic_probe
from keymiss.reader.openvino.openvino_reader import openvino_reader

CONFIG = load_config(BUNDLED_FOLDER)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Where outcomes are kept, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "keymiss" / "precision.json"


def test_auto_takes_what_the_probe_says_and_asks_it_once(kept, monkeypatch):
    monkeypatch.setattr(arithmetic_probe, "probe", lambda config: "bf16")
    assert arithmetic_probe.choose_precision("auto", CONFIG) == "bf16"
    assert list(json.loads(kept.read_text()).values()) == ["bf16"]
    monkeypatch.setattr(arithmetic_probe, "probe", lambda config: "fp32")
    assert arithmetic_probe.choose_precision("auto", CONFIG) == "bf16"


def test_models_of_another_width_are_probed_anew(kept, monkeypatch):
    wide = replace(CONFIG, inner=9)
    for config, outcome in ((CONFIG, "bf16"), (wide, "fp32")):
        monkeypatch.setattr(arithmetic_probe, "probe", lambda config, outcome=outcome: outcome)
        assert arithmetic_probe.choose_precision("auto", config) == outcome


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', None])
def test_what_was_kept_and_is_damaged_is_probed_anew(kept, monkeypatch, content):
    kept.parent.mkdir()
    damaged = json.dumps({arithmetic_probe._machine(CONFIG): ["bf16"]})
    kept.write_text(damaged if content is None else content)
    monkeypatch.setattr(arithmetic_probe, "probe", lambda config: "bf16")
    assert arithmetic_probe.choose_precision("auto", CONFIG) == "bf16"
    assert "bf16" in json.loads(kept.read_text()).values()


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(arithmetic_probe, "probe", lambda config: "fp32")
    assert arithmetic_probe.choose_precision("auto", CONFIG) == "fp32"


def test_the_probe_runs_both(kept):
    assert arithmetic_probe.probe(CONFIG) in ("fp32", "bf16")


def test_with_int8_what_is_not_rounded_takes_what_the_probe_says(kept, monkeypatch):
    monkeypatch.setattr(arithmetic_probe, "probe", lambda config: "bf16")
    assert arithmetic_probe.choose_arithmetic("int8", CONFIG) == "bf16"


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_a_precision_that_is_wanted_is_computed_in_without_a_probe(kept, monkeypatch, wanted):
    monkeypatch.setattr(arithmetic_probe, "probe", None)
    assert arithmetic_probe.choose_arithmetic(wanted, CONFIG) == wanted


def test_an_unknown_precision_is_named():
    with pytest.raises(ModelError, match="'fp8' is not one of auto, fp32, bf16"):
        openvino_reader(BUNDLED_FOLDER, "fp8")


def test_what_is_asked_for_is_taken_without_a_probe(kept, monkeypatch):
    monkeypatch.setattr(arithmetic_probe, "probe", lambda config: pytest.fail("probed"))
    assert openvino_reader(BUNDLED_FOLDER, "bf16").precision == "bf16"
    assert not kept.exists()


def test_both_precisions_are_close(kept):
    pairs = [("Who barks?", "Dogs bark at night."), ("When?", "Cats sleep at noon.")]
    fp32, bf16 = (
        [answers[0] for answers in openvino_reader(BUNDLED_FOLDER, each).read_batch(pairs)]
        for each in ("fp32", "bf16")
    )
    assert [one.text for one in fp32] == [one.text for one in bf16]
    np.testing.assert_allclose(
        [one.margin for one in fp32], [one.margin for one in bf16], rtol=0, atol=0.5
    )


def test_processors_of_this_process_are_part_of_the_machine():
    assert f", {len(os.sched_getaffinity(0))} cores, " in arithmetic_probe._machine(CONFIG)
