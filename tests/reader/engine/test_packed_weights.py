"""Packed weights are kept whole or not at all, and a file that is not the model's is never used."""

import resource
import shutil
import stat

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from keymiss.errors import ModelError
from keymiss.reader.model_cache import default_cache
from tests.reader.engine.test_engine_network import network, row
from tests.reader.test_families import GOLDEN


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(GOLDEN / "bert", tmp_path / "model")


def logits(folder, precision="fp32"):
    ((_, computed),) = network(folder, precision).logits([row(1, 5, 9, 4)])
    return computed


def kept():
    return sorted((default_cache() / "models").glob("*.packed"))


def test_a_second_start_maps_the_file_of_the_first(folder):
    first = logits(folder)
    (file,) = kept()
    written = file.stat().st_mtime_ns
    np.testing.assert_array_equal(logits(folder), first)
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data + b"more",
        lambda data: b"\0" * len(data),
        lambda data: data[:8] + bytes([data[8] + 1]) + data[9:],
        lambda data: data[:12] + b"\xff" * 40 + data[52:],
    ],
    ids=["cut", "empty", "longer", "never finished", "another version", "another shape"],
)
def test_a_file_that_is_not_whole_is_packed_again(folder, spoil, precision):
    first = logits(folder, precision)
    (file,) = kept()
    file.write_bytes(spoil(file.read_bytes()))
    np.testing.assert_array_equal(logits(folder, precision), first)
    np.testing.assert_array_equal(logits(folder, precision), first)


def test_a_file_that_is_replaced_while_it_is_mapped_changes_nothing(folder):
    opened = network(folder)
    ((_, before),) = opened.logits([row(1, 5)])
    (file,) = kept()
    draft = file.with_name("draft")
    draft.write_bytes(b"nothing")
    draft.replace(file)
    ((_, after),) = opened.logits([row(1, 5)])
    np.testing.assert_array_equal(after, before)


def test_without_room_on_the_disk_the_model_is_packed_in_memory(folder):
    first = logits(folder)
    (file,) = kept()
    file.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        np.testing.assert_array_equal(logits(folder), first)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept() == []


def test_a_cache_that_is_a_file_is_done_without(folder, cache):
    first = logits(folder)
    shutil.rmtree(cache)
    cache.write_text("")
    np.testing.assert_array_equal(logits(folder), first)


def test_kept_files_are_for_their_owner_to_write(folder):
    logits(folder)
    (file,) = kept()
    assert not stat.S_IMODE(file.stat().st_mode) & 0o022


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["layer.0.attention.self.key.weight", "LayerNorm.bias"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_weights_that_are_not_finite_are_refused_by_name(folder, number, name, precision):
    path = folder / "model.safetensors"
    arrays = load_file(path)
    found = next(each for each in sorted(arrays) if each.endswith(name))
    arrays[found].flat[7] = number
    save_file(arrays, path)
    with pytest.raises(ModelError, match="holds a number that is not finite"):
        logits(folder, precision)
    assert kept() == []
